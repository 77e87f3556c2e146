//! The stored form of a row of a plugin's class: as that of any other object, with what the row
//! refers to (`r`) and which of its fields are unique (`u`).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::row::DynamicRow;
use super::spec::WhenGone;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct DynamicRecord {
    v: u32,
    f: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    r: BTreeMap<String, Target>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    u: Vec<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Target {
    class: String,
    /// The row goes with the object that it names.
    with: bool,
}

pub(super) fn encode(row: &DynamicRow) -> Bytes {
    let record = DynamicRecord {
        v: VERSION,
        f: row.fields.clone(),
        r: row
            .references
            .iter()
            .map(|(field, (class, gone))| {
                (
                    field.clone(),
                    Target {
                        class: class.clone(),
                        with: *gone == WhenGone::Delete,
                    },
                )
            })
            .collect(),
        u: row.uniques.clone(),
    };
    Bytes::from(serde_json::to_vec(&record).expect("a map of texts can be written as JSON"))
}

/// # Errors
/// A text for the log when the record was not written by a version we know.
pub(super) fn decode(class: &str, id: u32, value: &[u8]) -> Result<DynamicRow, String> {
    let record: DynamicRecord =
        serde_json::from_slice(value).map_err(|error| format!("{class} {id}: {error}"))?;
    if record.v != VERSION {
        return Err(format!(
            "{class} {id} has a record of version {}, this program reads {VERSION}",
            record.v
        ));
    }
    let gone = |with| {
        if with {
            WhenGone::Delete
        } else {
            WhenGone::Clear
        }
    };
    let references = record
        .r
        .into_iter()
        .map(|(field, target)| (field, (target.class, gone(target.with))))
        .collect();
    Ok(DynamicRow {
        id,
        modified: 0,
        fields: record.f,
        references,
        uniques: record.u,
    })
}
