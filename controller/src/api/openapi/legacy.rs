//! The document as OpenAPI 3.0, for generators that know no 3.1: no lists of types, no `null` type,
//! no `const`, no empty list of what is required.

use serde_json::{Map, Value, json};

/// Rewrites a 3.1 document.
pub(super) fn rewrite(document: &Value) -> Value {
    let mut document = schema(document.clone());
    document["openapi"] = "3.0.3".into();
    if let Value::Object(members) = &mut document {
        members.remove("jsonSchemaDialect");
    }
    if let Some(Value::Object(licence)) = document.pointer_mut("/info/license") {
        licence.remove("identifier");
    }
    document
}

/// Rewrites every schema inside a value. Keywords of schemas are told from names of properties by
/// their values: a `type` that is a list, or the text `null`, is a keyword wherever it stands.
fn schema(value: Value) -> Value {
    match value {
        Value::Object(members) => object(
            members
                .into_iter()
                .map(|(name, member)| (name, schema(member)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(schema).collect()),
        other => other,
    }
}

fn object(mut members: Map<String, Value>) -> Value {
    if let Some(Value::Array(types)) = members.get("type").cloned() {
        members.remove("type");
        types_of(&types, &mut members);
    } else if members.get("type").is_some_and(|kind| kind == "null") {
        members.remove("type");
        members.insert("nullable".to_owned(), true.into());
        members.insert("enum".to_owned(), json!([null]));
    }
    if let Some(only) = members
        .get("const")
        .filter(|only| !only.is_object())
        .cloned()
    {
        members.remove("const");
        members.insert("enum".to_owned(), json!([only]));
    }
    if members
        .get("required")
        .is_some_and(|names| names == &json!([]))
    {
        members.remove("required");
    }
    for word in ["anyOf", "oneOf"] {
        without_null(word, &mut members);
    }
    // Beside a reference 3.0 reads nothing; wrapped, the description stays.
    if members.len() > 1
        && members.get("$ref").is_some_and(Value::is_string)
        && let Some(target) = members.remove("$ref")
    {
        members.insert("allOf".to_owned(), json!([{"$ref": target}]));
    }
    Value::Object(members)
}

/// A list of types: one is the type, several are alternatives, `null` is a property of them.
fn types_of(types: &[Value], members: &mut Map<String, Value>) {
    let others: Vec<&Value> = types.iter().filter(|kind| *kind != "null").collect();
    if others.len() < types.len() {
        members.insert("nullable".to_owned(), true.into());
    }
    match others.as_slice() {
        [only] => {
            members.insert("type".to_owned(), (*only).clone());
        }
        several => {
            // What limits one of the types goes with it.
            let length = members.remove("minLength");
            let alternatives = several.iter().map(|kind| match (&length, kind.as_str()) {
                (Some(length), Some("string")) => json!({"type": kind, "minLength": length}),
                _ => json!({"type": kind}),
            });
            members.insert("anyOf".to_owned(), alternatives.collect());
        }
    }
}

/// An alternative that is only `null` becomes a property of the others.
fn without_null(word: &str, members: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = members.get_mut(word) else {
        return;
    };
    let before = alternatives.len();
    alternatives.retain(|alternative| alternative["enum"] != json!([null]));
    let (after, only) = (alternatives.len(), alternatives.first().cloned());
    if after == before {
        return;
    }
    members.insert("nullable".to_owned(), true.into());
    if let (1, Some(only)) = (after, only) {
        members.remove(word);
        members.insert("allOf".to_owned(), json!([only]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_become_what_3_0_knows() {
        assert_eq!(
            schema(json!({"type": ["string", "null"]})),
            json!({"nullable": true, "type": "string"})
        );
        assert_eq!(
            schema(json!({"type": ["string", "number", "null"], "minLength": 1})),
            json!(
                {"nullable": true, "anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}]}
            )
        );
        assert_eq!(
            schema(json!({"type": "null"})),
            json!({"nullable": true, "enum": [null]})
        );
        assert_eq!(
            schema(json!({"type": "string", "const": "ok"})),
            json!({"type": "string", "enum": ["ok"]})
        );
        assert_eq!(
            schema(json!({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]})),
            json!({"nullable": true, "allOf": [{"$ref": "#/a"}]})
        );
        assert_eq!(
            schema(json!({"$ref": "#/a", "description": "b"})),
            json!({"description": "b", "allOf": [{"$ref": "#/a"}]})
        );
        assert_eq!(
            schema(json!({"type": "object", "required": []})),
            json!({"type": "object"})
        );
        // A property may be called as a keyword is.
        let properties = json!({"properties": {"type": {"type": "string"}}});
        assert_eq!(schema(properties.clone()), properties);
    }
}
