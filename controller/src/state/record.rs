//! The stored form of an object: `{"v":1,"f":{field: value}}`.
//!
//! Values are the texts that [`Field::show`] gives, empty ones left out. It is a format of its own:
//! what REST shows may change without the records changing, and a record of a newer version is
//! refused instead of being half understood.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::class::Class;

const VERSION: u32 = 1;

#[derive(Serialize)]
struct ObjectRecord<'a> {
    v: u32,
    f: BTreeMap<&'a str, Cow<'a, str>>,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// A record as it is read. Its texts are borrowed unless they have escapes.
#[derive(Deserialize)]
struct Stored<'a> {
    v: u32,
    #[serde(borrow)]
    f: Fields<'a>,
}

/// The fields in the order in which they were written.
struct Fields<'a>(Vec<(Text<'a>, Text<'a>)>);

struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Words)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by the names of fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut pairs = Vec::with_capacity(32);
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Fields(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

pub(crate) fn encode<C: Class>(object: &C) -> Bytes {
    let f = C::FIELDS
        .iter()
        .filter(|field| !field.is_id())
        .map(|field| (field.name, field.show(object)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let text = serde_json::to_vec(&ObjectRecord { v: VERSION, f })
        .expect("a map of texts can be written as JSON");
    Bytes::from(text)
}

/// # Errors
/// A text for the log when the record was not written by a version we know.
pub(crate) fn decode<C: Class>(id: u32, value: &[u8]) -> Result<C, String> {
    let record: Stored<'_> =
        serde_json::from_slice(value).map_err(|error| match serde_json::from_slice(value) {
            Ok(VersionOnly { v }) if v != VERSION => other_version::<C>(id, v),
            _ => format!("{} {id}: {error}", C::NAME),
        })?;
    if record.v != VERSION {
        return Err(other_version::<C>(id, record.v));
    }
    let mut object = C::default();
    for (Text(name), Text(text)) in &record.f.0 {
        // A field that this version does not know stays unread.
        if let Some(field) = C::FIELDS.iter().find(|field| field.name == name) {
            field
                .read(&mut object, text)
                .map_err(|error| format!("{} {id}, {}: {error}", C::NAME, field.name))?;
        }
    }
    object.set_id(id);
    Ok(object)
}

fn other_version<C: Class>(id: u32, version: u32) -> String {
    format!(
        "{} {id} has a record of version {version}, this program reads {VERSION}",
        C::NAME
    )
}
