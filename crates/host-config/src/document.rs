//! What a device is given: a JSON map from names to values and handlers, as the gateway sends and the device stores it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::clash::clashes;
use crate::ecies::OVERHEAD;
use crate::{BadFileName, ConfigFile, FileName, LONGEST_VERSION, MOST_FILES};

/// What encrypting a value adds to it at most, beside the third that base64 adds to each of its bytes.
const SEALED: usize = (OVERHEAD + 2).div_ceil(3) * 4;
/// Most bytes of a document: three levels, JSON may need six bytes for one, and each file may be a secret.
pub const LONGEST_DOCUMENT: usize = 3 * 6 * LONGEST_VERSION + 3 * MOST_FILES * (64 + SEALED);

/// One file of a document.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DocumentFile {
    /// The content when it is `unencrypted`, otherwise what was encrypted for this device, as base64.
    pub value: String,
    /// Whether `value` is the content itself.
    #[serde(skip_serializing_if = "is_false")]
    pub unencrypted: bool,
    /// Program and arguments of the handler; empty for none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_changed: Vec<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl fmt::Debug for DocumentFile {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentFile")
            .field("unencrypted", &self.unencrypted)
            .field("on_changed", &self.on_changed)
            .finish_non_exhaustive()
    }
}

impl From<&ConfigFile> for DocumentFile {
    fn from(file: &ConfigFile) -> Self {
        Self {
            value: file.value.clone(),
            unencrypted: file.unencrypted,
            on_changed: file.on_changed.clone(),
        }
    }
}

/// The files of one device, by name. No name is a folder of another.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(transparent)]
pub struct Document(pub BTreeMap<FileName, DocumentFile>);

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadDocument {
    #[error("the config has {0} bytes; {LONGEST_DOCUMENT} are allowed")]
    TooLong(usize),
    #[error("the config is no JSON map of files")]
    Json(#[source] serde_json::Error),
    #[error("the config has {0} files; {most} are allowed", most = 3 * MOST_FILES)]
    TooMany(usize),
    #[error("the config has a file with a name that cannot be one")]
    Name(#[source] BadFileName),
    #[error("the config has the file {0:?} twice")]
    Twice(FileName),
    #[error("the config has a file {0:?} and others in a folder of that name")]
    FileAndFolder(FileName),
    #[error("{key} of the config file {name:?} is not {wanted}")]
    Key {
        name: FileName,
        key: &'static str,
        wanted: &'static str,
    },
}

impl Document {
    /// Reads what a gateway has sent. Keys of a file are known whatever their case; others are passed over, `null` is as if
    /// the key were not there, and of a key that is there twice the last one counts.
    ///
    /// # Errors
    /// [`BadDocument`].
    pub fn read(bytes: &[u8]) -> Result<Self, BadDocument> {
        if bytes.len() > LONGEST_DOCUMENT {
            return Err(BadDocument::TooLong(bytes.len()));
        }
        let Entries(entries) = serde_json::from_slice(bytes).map_err(BadDocument::Json)?;
        if entries.len() > 3 * MOST_FILES {
            return Err(BadDocument::TooMany(entries.len()));
        }
        let mut files = BTreeMap::new();
        for (name, value) in entries {
            let name = FileName::try_from(name).map_err(BadDocument::Name)?;
            let file = file(&name, value)?;
            if files.insert(name.clone(), file).is_some() {
                return Err(BadDocument::Twice(name));
            }
        }
        if let Some(name) = files.keys().find(|name| !clashes(&files, name).is_empty()) {
            return Err(BadDocument::FileAndFolder(name.clone()));
        }
        Ok(Self(files))
    }

    /// The document as bytes: the same for the same files, sorted by name.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names are texts, and a buffer takes everything")
    }
}

/// A map as it is written, in which a name may be there twice.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to config files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

fn file(name: &FileName, value: Value) -> Result<DocumentFile, BadDocument> {
    let wrong = |key, wanted| BadDocument::Key {
        name: name.clone(),
        key,
        wanted,
    };
    let Value::Object(keys) = value else {
        return Err(wrong("the value", "a map"));
    };
    let mut file = DocumentFile::default();
    for (key, value) in keys {
        if value.is_null() {
            continue;
        }
        match key.to_ascii_lowercase().as_str() {
            "value" => match value {
                Value::String(text) => file.value = text,
                _ => return Err(wrong("Value", "a text")),
            },
            "unencrypted" => match value {
                Value::Bool(flag) => file.unencrypted = flag,
                _ => return Err(wrong("Unencrypted", "true or false")),
            },
            "onchanged" => match texts(value) {
                Some(texts) => file.on_changed = texts,
                None => return Err(wrong("OnChanged", "a list of texts")),
            },
            _ => {}
        }
    }
    Ok(file)
}

fn texts(value: Value) -> Option<Vec<String>> {
    let Value::Array(list) = value else {
        return None;
    };
    let text = |value| match value {
        // A NUL cannot be in an argument of a program.
        Value::String(text) if !text.contains('\0') => Some(text),
        _ => None,
    };
    list.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_known_whatever_their_case_but_not_with_hyphens() {
        let text = br#"{
            "app.config": {"Value": "[page]\n", "Unencrypted": true},
            "secret.txt": {"vALUE": "BJrwrq"},
            "sub/dir/x": {"value": "deep", "unencrypted": true, "onchanged": ["/h", "arg"], "More": 1},
            "y": {"Value": null, "OnChanged": null, "on-changed": ["/h"]}
        }"#;
        let Document(files) = Document::read(text).unwrap();
        assert_eq!(files["app.config"].value, "[page]\n");
        assert!(!files["secret.txt"].unencrypted);
        assert_eq!(files["secret.txt"].value, "BJrwrq");
        assert_eq!(files["sub/dir/x"].on_changed, ["/h", "arg"]);
        assert_eq!(files["y"], DocumentFile::default());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "[]",
            "{} x",
            r#"{"a":1}"#,
            r#"{"a":{"Value":1}}"#,
            r#"{"a":{"Unencrypted":"yes"}}"#,
            r#"{"a":{"OnChanged":"/h"}}"#,
            r#"{"a":{"OnChanged":[1]}}"#,
            r#"{"a":{"OnChanged":["\u0000"]}}"#,
            r#"{"../a":{}}"#,
            r#"{"a":{},"a":{}}"#,
            r#"{"a/b":{},"a":{}}"#,
        ] {
            assert!(Document::read(text.as_bytes()).is_err(), "{text}");
        }
        let long = vec![b' '; LONGEST_DOCUMENT + 1];
        assert!(matches!(
            Document::read(&long),
            Err(BadDocument::TooLong(_))
        ));
    }

    #[test]
    fn it_is_written_sorted_and_without_what_says_nothing() {
        let text =
            br#"{"b":{"value":"2"},"a":{"onchanged":["/h"],"unencrypted":true,"value":"1"}}"#;
        let document = Document::read(text).unwrap();
        assert_eq!(
            String::from_utf8(document.write()).unwrap(),
            r#"{"a":{"Value":"1","Unencrypted":true,"OnChanged":["/h"]},"b":{"Value":"2"}}"#
        );
        assert_eq!(Document::default().write(), b"{}");
    }

    fn any_file() -> impl Strategy<Value = DocumentFile> {
        let handler = proptest::collection::vec("[^\0]{0,5}", 0..3);
        (any::<String>(), any::<bool>(), handler).prop_map(|(value, unencrypted, on_changed)| {
            DocumentFile {
                value,
                unencrypted,
                on_changed,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(files in proptest::collection::btree_map("[a-d]{1,3}", any_file(), 0..6)) {
            let named = files.into_iter().map(|(name, file)| (name.parse().unwrap(), file));
            let document = Document(named.collect());
            prop_assert_eq!(Document::read(&document.write()).unwrap(), document);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::read(&bytes);
        }
    }
}
