//! A document with its secrets decrypted: all of them, or nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::ecies::{DecryptError, DeviceKey};
use crate::{Document, FileName};

/// What a file is to hold, and what runs when that is new.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedFile {
    /// Its content.
    pub content: Vec<u8>,
    /// Program and arguments of its handler; empty for none.
    pub on_changed: Vec<String>,
}

impl fmt::Debug for OpenedFile {
    /// Without the content, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedFile")
            .field("on_changed", &self.on_changed)
            .finish_non_exhaustive()
    }
}

/// Why a document cannot be extracted. Nothing of it is to be then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// The key was not given.
    #[error("the config file {name:?} is encrypted, and there is no key to decrypt it")]
    NoKey {
        /// The file.
        name: FileName,
    },
    /// It was not for this device, or is damaged.
    #[error("could not decrypt the config file {name:?}")]
    Decrypt {
        /// The file.
        name: FileName,
        /// Why.
        source: DecryptError,
    },
}

/// Whether the key of the device is needed.
#[must_use]
pub fn has_secrets(document: &Document) -> bool {
    document.0.values().any(|file| !file.unencrypted)
}

/// Decrypts what is encrypted. Without secrets no key is needed.
///
/// # Errors
/// When any value cannot be decrypted.
pub fn open(
    document: &Document,
    key: Option<&DeviceKey>,
) -> Result<BTreeMap<FileName, OpenedFile>, OpenError> {
    let mut opened = BTreeMap::new();
    for (name, file) in &document.0 {
        let content = if file.unencrypted {
            file.value.clone().into_bytes()
        } else {
            let key = key.ok_or_else(|| OpenError::NoKey { name: name.clone() })?;
            key.decrypt(&file.value)
                .map_err(|source| OpenError::Decrypt {
                    name: name.clone(),
                    source,
                })?
        };
        let on_changed = file.on_changed.clone();
        opened.insert(
            name.clone(),
            OpenedFile {
                content,
                on_changed,
            },
        );
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecies::Randomness;

    #[test]
    fn one_value_that_cannot_be_decrypted_spoils_all() {
        let key = DeviceKey::from_scalar(&[3; 32]).unwrap();
        let random = Randomness {
            scalar: [5; 32],
            iv: [6; 16],
        };
        let secret = key.recipient().encrypt(b"hidden", &random).unwrap();
        let read = |text: &str| Document::read(text.as_bytes()).unwrap();
        let good = read(&format!(
            r#"{{"a":{{"Value":"plain","Unencrypted":true}},"b":{{"Value":"{secret}","OnChanged":["/h"]}}}}"#
        ));
        assert!(has_secrets(&good));
        let opened = open(&good, Some(&key)).unwrap();
        assert_eq!(opened["a"].content, b"plain");
        assert_eq!(opened["b"].content, b"hidden");
        assert_eq!(opened["b"].on_changed, ["/h"]);
        assert!(
            matches!(open(&good, None), Err(OpenError::NoKey { name }) if name.as_str() == "b")
        );
        let bad = read(r#"{"a":{"Value":"plain","Unencrypted":true},"b":{"Value":"AAAA"}}"#);
        let error = open(&bad, Some(&key)).unwrap_err();
        assert!(matches!(error, OpenError::Decrypt { name, .. } if name.as_str() == "b"));
        let plain = read(r#"{"a":{"Value":"plain","Unencrypted":true}}"#);
        assert!(!has_secrets(&plain) && open(&plain, None).is_ok());
    }
}
