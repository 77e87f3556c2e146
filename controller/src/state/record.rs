//! The stored form of an object: `{"v":1,"f":{field: value}}`.
//!
//! Values are the texts that [`Field::show`] gives, empty ones left out. It is a format of its own: what REST shows may
//! change without the records changing, and a record of a newer version is refused instead of being half understood.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::class::Class;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    v: u32,
    #[serde(borrow)]
    f: BTreeMap<&'a str, std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

pub(crate) fn encode<C: Class>(object: &C) -> Bytes {
    let f = C::FIELDS
        .iter()
        .filter(|field| !field.is_id())
        .map(|field| (field.name, field.show(object)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let text = serde_json::to_vec(&Record { v: VERSION, f }).expect("a map of texts can be written as JSON");
    Bytes::from(text)
}

/// # Errors
/// A text for the log when the record was not written by a version we know.
pub(crate) fn decode<C: Class>(id: u32, value: &[u8]) -> Result<C, String> {
    let VersionOnly { v } = serde_json::from_slice(value).map_err(|error| format!("{} {id}: {error}", C::NAME))?;
    if v != VERSION {
        return Err(format!("{} {id} has a record of version {v}, this program reads {VERSION}", C::NAME));
    }
    let record: RecordOwned = serde_json::from_slice(value).map_err(|error| format!("{} {id}: {error}", C::NAME))?;
    let mut object = C::default();
    for field in C::FIELDS {
        if let Some(text) = record.f.get(field.name) {
            field.read(&mut object, text).map_err(|error| format!("{} {id}, {}: {error}", C::NAME, field.name))?;
        }
    }
    object.set_id(id);
    Ok(object)
}

/// Borrowing fails on texts with escapes, so reading owns what it reads.
#[derive(Deserialize)]
struct RecordOwned {
    f: BTreeMap<String, String>,
}
