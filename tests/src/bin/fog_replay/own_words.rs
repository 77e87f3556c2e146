//! Descriptions of default rows: FOG's are its authors', ours are ours, so they are compared by
//! whose they are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Map, Value};

use super::compare::unescape;
use super::server::Server;

/// Classes whose default rows are described.
const DESCRIBED: &[&str] = &[
    "tasktype",
    "taskstate",
    "storagegroup",
    "storagenode",
    "module",
    "pxemenuoptions",
    "service",
    "imagetype",
    "imagepartitiontype",
    "os",
    "plugin",
];

#[derive(Default)]
pub(crate) struct OwnWords {
    /// FOG's descriptions by the name of the row, as far as they are known.
    fog: BTreeMap<String, BTreeSet<String>>,
    /// Names and descriptions of our default rows.
    ours: BTreeSet<(String, String)>,
}

impl OwnWords {
    /// Reads ours from a fresh server and FOG's from its default rows.
    pub(crate) async fn learn(server: &mut Server, seed: &Value) -> Result<Self> {
        let mut words = Self::default();
        for class in DESCRIBED {
            let rows = seed[class].as_array().into_iter().flatten();
            for (name, text) in rows.filter_map(described) {
                words.fog.entry(name).or_default().insert(unescape(&text));
            }
            let reply = server
                .send("GET", &format!("/fog/{class}/list"), &Value::Null)
                .await?;
            let list: Value = serde_json::from_str(&reply.text).unwrap_or_default();
            let rows = list[format!("{class}s")].as_array().into_iter().flatten();
            words.ours.extend(rows.filter_map(described));
        }
        // These two are not listed.
        for id in 190..=191 {
            let reply = server
                .send("GET", &format!("/fog/service/{id}"), &Value::Null)
                .await?;
            words.ours.extend(
                serde_json::from_str(&reply.text)
                    .ok()
                    .as_ref()
                    .and_then(described),
            );
        }
        Ok(words)
    }

    /// Whether both rows have the description that they came with. Where FOG's is not known, ours
    /// decides.
    pub(crate) fn are_the_same(&self, fog: &Map<String, Value>, ours: &Map<String, Value>) -> bool {
        let (Some((fog_name, fog_text)), Some(ours)) = (pair(fog), pair(ours)) else {
            return false;
        };
        let is_fogs = self
            .fog
            .get(&fog_name)
            .is_none_or(|texts| texts.contains(&unescape(&fog_text)));
        fog_name == ours.0 && is_fogs && self.ours.contains(&ours)
    }
}

fn described(row: &Value) -> Option<(String, String)> {
    pair(row.as_object()?)
}

fn pair(row: &Map<String, Value>) -> Option<(String, String)> {
    Some((
        row.get("name")?.as_str()?.to_owned(),
        row.get("description")?.as_str()?.to_owned(),
    ))
}
