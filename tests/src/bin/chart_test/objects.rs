//! Objects of Kubernetes, as a chart is rendered to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize as _;
use serde_json::Value;

/// What an object is known by: kind, namespace and name.
pub(crate) type Key = (String, String, String);

/// Reads all documents of a text.
///
/// # Errors
/// When one is not YAML, or two are of the same object.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<Key, Value>> {
    let mut objects = BTreeMap::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let object = Value::deserialize(document).context("a document is not YAML")?;
        if object.is_null() {
            continue;
        }
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (
            format!("{}/{}", word(&object["apiVersion"]), word(&object["kind"])),
            word(&object["metadata"]["namespace"]),
            word(&object["metadata"]["name"]),
        );
        ensure!(
            !key.2.is_empty() && object["kind"].is_string(),
            "an object has no kind or name: {object}"
        );
        let shown = format!("{key:?}");
        ensure!(
            objects.insert(key, object).is_none(),
            "{shown} is there twice"
        );
    }
    Ok(objects)
}

/// Names of all images in an object: of containers, and of volumes that are images.
pub(crate) fn images(object: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_images(object, &mut found);
    found
}

fn collect_images(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                if key == "image" {
                    let name = field.as_str().or(field["reference"].as_str());
                    found.extend(name.map(str::to_owned));
                }
                collect_images(field, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\n\
        spec:\n  containers: [{name: x, image: r/x:1}]\n  initContainers: [{name: y, image: r/y:1}]\n  \
        volumes: [{name: v, image: {reference: 'r/z:1'}}]\n---\n# nothing\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\n";

    #[test]
    fn documents_become_objects_and_empty_ones_nothing() {
        let objects = parse(TWO).unwrap();
        let kinds: Vec<&str> = objects.keys().map(|key| key.0.as_str()).collect();
        assert_eq!(kinds, ["v1/Pod", "v1/Service"]);
        let twice = format!("{TWO}---\n{TWO}");
        assert!(parse(&twice).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn images_are_found_wherever_they_are() {
        let objects = parse(TWO).unwrap();
        let found: Vec<String> = objects.values().flat_map(images).collect();
        assert_eq!(found, ["r/x:1", "r/y:1", "r/z:1"]);
    }
}
