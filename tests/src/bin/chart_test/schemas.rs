//! Schemas for kubeconform, from what the API server says of itself. So they are those of this very
//! version, and of whatever else is installed; and nothing has to be downloaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// Writes the schema of each kind to `folder`, under the name that kubeconform looks for. Of kinds
/// that nobody needs there is none, because most schemas are large.
///
/// # Errors
/// When the description has another form, or a file cannot be written.
pub(crate) fn write(
    described: &Value,
    needed: &BTreeSet<(String, String)>,
    folder: &Path,
) -> Result<usize> {
    let definitions = described["definitions"]
        .as_object()
        .context("the API server describes no kinds")?;
    fs::create_dir_all(folder)?;
    let mut written = 0;
    for (name, definition) in definitions {
        let kinds = definition["x-kubernetes-group-version-kind"].as_array();
        for kind in kinds.into_iter().flatten() {
            let word = |key: &str| kind[key].as_str().unwrap_or_default();
            let (group, version, kind) = (word("group"), word("version"), word("kind"));
            let api = if group.is_empty() {
                version.to_owned()
            } else {
                format!("{group}/{version}")
            };
            if !needed.contains(&(api.clone(), kind.to_owned())) {
                continue;
            }
            let mut schema = inline(definition, definitions, &mut vec![name.as_str()]);
            schema["properties"]["apiVersion"]["enum"] = json!([api]);
            schema["properties"]["kind"]["enum"] = json!([kind]);
            fs::write(folder.join(file(kind, &api)), schema.to_string())?;
            written += 1;
        }
    }
    Ok(written)
}

/// `deployment-apps-v1.json`, `service-v1.json`: of a group the part before its first point.
fn file(kind: &str, api: &str) -> String {
    let begin = |text: &str| text.split('.').next().unwrap_or_default().to_lowercase();
    let end = match api.split_once('/') {
        Some((group, version)) => format!("{}-{version}", begin(group)),
        None => begin(api),
    };
    format!("{}-{end}.json", kind.to_lowercase())
}

/// A schema with all references resolved, in which keys that are not declared are errors.
fn inline<'d>(
    schema: &'d Value,
    definitions: &'d Map<String, Value>,
    within: &mut Vec<&'d str>,
) -> Value {
    if let Value::Array(items) = schema {
        let items = items.iter().map(|item| inline(item, definitions, within));
        return Value::Array(items.collect());
    }
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        // A kind that contains itself is not looked into any further.
        let Some((name, definition)) = definitions.get_key_value(name) else {
            return json!({});
        };
        if within.contains(&name.as_str()) {
            return json!({});
        }
        // A number is taken where a quantity is meant.
        if name.ends_with(".Quantity") {
            return json!({ "type": ["string", "number"] });
        }
        within.push(name);
        let inlined = inline(definition, definitions, within);
        within.pop();
        return inlined;
    }
    if fields.get("format").and_then(Value::as_str) == Some("int-or-string") {
        return json!({ "type": ["string", "integer"] });
    }
    let is_open = fields.contains_key("x-kubernetes-preserve-unknown-fields");
    let mut inlined: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| !key.starts_with("x-kubernetes-"))
        .map(|(key, value)| (key.clone(), inline(value, definitions, within)))
        .collect();
    if inlined.get("type").and_then(Value::as_str) == Some("object")
        && inlined.contains_key("properties")
        && !is_open
    {
        inlined
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    Value::Object(inlined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Value {
        json!({ "definitions": {
            "io.k8s.api.apps.v1.Thing": {
                "type": "object",
                "properties": {
                    "apiVersion": { "type": "string" },
                    "kind": { "type": "string" },
                    "spec": { "$ref": "#/definitions/io.k8s.api.apps.v1.Spec" },
                },
                "x-kubernetes-group-version-kind":
                    [{ "group": "apps.example.org", "version": "v1", "kind": "Thing" }],
            },
            "io.k8s.api.apps.v1.Spec": {
                "type": "object",
                "properties": {
                    "port": { "type": "string", "format": "int-or-string" },
                    "inner": { "$ref": "#/definitions/io.k8s.api.apps.v1.Spec" },
                    "memory": { "$ref": "#/definitions/io.k8s.resource.Quantity" },
                    "free": { "type": "object", "properties": {},
                        "x-kubernetes-preserve-unknown-fields": true },
                },
            },
            "io.k8s.resource.Quantity": { "type": "string" },
        }})
    }

    #[test]
    fn references_are_resolved_and_unknown_keys_refused() {
        let folder = tempfile::tempdir().unwrap();
        let needed = BTreeSet::from([("apps.example.org/v1".to_owned(), "Thing".to_owned())]);
        assert_eq!(write(&described(), &needed, folder.path()).unwrap(), 1);
        let text = fs::read(folder.path().join("thing-apps-v1.json")).unwrap();
        let schema: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let spec = &schema["properties"]["spec"];
        assert_eq!(spec["additionalProperties"], false);
        assert_eq!(spec["properties"]["inner"], json!({}));
        let free = &spec["properties"]["free"];
        assert_eq!(free["additionalProperties"], Value::Null);
        let port = json!(["string", "integer"]);
        assert_eq!(spec["properties"]["port"]["type"], port);
        assert_eq!(schema["properties"]["kind"]["enum"], json!(["Thing"]));
    }

    #[test]
    fn files_are_named_as_kubeconform_looks_for_them() {
        assert_eq!(file("Service", "v1"), "service-v1.json");
        assert_eq!(file("Deployment", "apps/v1"), "deployment-apps-v1.json");
        assert_eq!(
            file("NetworkPolicy", "networking.k8s.io/v1"),
            "networkpolicy-networking-v1.json"
        );
    }
}
