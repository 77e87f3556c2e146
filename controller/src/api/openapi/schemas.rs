//! Schemas of bodies, derived from their declarations in `foghorn-rest-types` and `foghorn-proto`:
//! the comments there are the descriptions here.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::api::routes::SchemaOf;

/// Generates the schemas of the bodies. A member that may be missing in a request is always present
/// in an answer, so the two are described apart.
pub(super) struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }

    /// The schema of what a client sends, or a reference to it.
    pub(super) fn request(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.requests).to_value())
    }

    /// The schema of what a client is sent, or a reference to it.
    pub(super) fn answer(
        &mut self,
        schema: impl Fn(&mut SchemaGenerator) -> schemars::Schema,
    ) -> Value {
        tidied(schema(&mut self.answers).to_value())
    }

    /// Every schema that was referred to, by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = Map::new();
        self.answers
            .definitions_mut()
            .values_mut()
            .for_each(leave_out_instead_of_null);
        // What is sent in both directions is described as clients may send it, which is the
        // stricter of the two.
        for (name, schema) in self
            .answers
            .take_definitions(false)
            .into_iter()
            .chain(self.requests.take_definitions(false))
        {
            all.insert(name, tidied(schema));
        }
        all
    }
}

/// A member of an answer that may be missing is never null: it is left out.
fn leave_out_instead_of_null(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (_, property) in properties
        .iter_mut()
        .filter(|(name, _)| !required.iter().any(|required| required == *name))
    {
        without_null(property);
    }
}

/// Removes the alternative `null` from a schema that has one other.
pub(super) fn without_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get("type")
        && let [only, null] = types.as_slice()
        && null == "null"
    {
        schema["type"] = only.clone();
    }
}

/// A schema in the form that suits readers and client generators.
fn tidied(mut schema: Value) -> Value {
    tidy(&mut schema);
    schema
}

fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members.iter_mut() {
                match value {
                    // The names in here are no keywords.
                    Value::Object(properties) if keyword == "properties" => {
                        properties.values_mut().for_each(tidy)
                    }
                    value => tidy(value),
                }
            }
            bound_integers(members);
            join_words(members);
            // "Left out" is what a default of nothing means, and generators stumble over objects as
            // defaults.
            if members
                .get("default")
                .is_some_and(|default| !default.is_boolean() && !default.is_number())
            {
                members.remove("default");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Larger numbers of 32 bits are refused, so the schema says so.
fn bound_integers(members: &mut Map<String, Value>) {
    let bounds = match members.get("format").and_then(Value::as_str) {
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => return,
    };
    members.entry("minimum").or_insert(bounds.0.into());
    members.entry("maximum").or_insert(bounds.1.into());
}

/// An enum of words with comments comes as alternatives. One list of words, with the comments in
/// its description, is the same, and every generator of clients knows what to do with it.
fn join_words(members: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = members.get("oneOf") else {
        return;
    };
    let words: Option<Vec<(Vec<Value>, Option<&str>)>> = alternatives.iter().map(words).collect();
    let Some(words) = words else { return };
    let mut about = members
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for (words, comment) in &words {
        if let ([Value::String(word)], Some(comment)) = (words.as_slice(), comment) {
            about.push_str(&format!("\n\n- `{word}`: {comment}"));
        }
    }
    let all: Vec<Value> = words.into_iter().flat_map(|(words, _)| words).collect();
    members.remove("oneOf");
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), all.into());
    members.insert("description".to_owned(), about.trim().into());
}

/// The words that an alternative stands for, with its comment; `None` for anything but words.
fn words(alternative: &Value) -> Option<(Vec<Value>, Option<&str>)> {
    if alternative.get("type").is_none_or(|kind| kind != "string") {
        return None;
    }
    let words = match (alternative.get("const"), alternative.get("enum")) {
        (Some(word), None) => vec![word.clone()],
        (None, Some(Value::Array(words))) => words.clone(),
        _ => return None,
    };
    Some((
        words,
        alternative.get("description").and_then(Value::as_str),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_with_comments_become_one_list() {
        let derived = json!({
            "description": "How far it is.",
            "oneOf": [
                {"type": "string", "enum": ["queued", "running"]},
                {"type": "string", "const": "failed", "description": "Ended with an error."},
            ],
        });
        let tidy = json!({
            "description": "How far it is.\n\n- `failed`: Ended with an error.",
            "type": "string",
            "enum": ["queued", "running", "failed"],
        });
        assert_eq!(tidied(derived), tidy);
        let mixed = json!({"oneOf": [{"type": "string", "const": "a"}, {"type": "object"}]});
        assert_eq!(tidied(mixed.clone()), mixed);
    }

    #[test]
    fn integers_have_the_bounds_of_their_type_unless_they_have_others() {
        let integer = |format: &str| json!({"type": "integer", "format": format});
        assert_eq!(tidied(integer("uint32"))["maximum"], u32::MAX);
        assert_eq!(tidied(integer("int32"))["minimum"], i32::MIN);
        assert_eq!(tidied(integer("uint64"))["maximum"], Value::Null);
        let narrow = json!({"type": "integer", "format": "uint32", "minimum": 1, "maximum": 9});
        assert_eq!(tidied(narrow.clone()), narrow);
    }
}
