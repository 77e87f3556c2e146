//! Secrets of a factory and of a group leave the effective config only encrypted for the device that it is for.

use crate::ecies::{BadRandomness, BadRecipient, Randomness, Recipient};
use crate::effective::Effective;
use crate::{Document, DocumentFile};

/// Why a device is sent no document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// There are secrets, and nobody can encrypt for its key.
    #[error("its public key cannot be used")]
    Recipient(#[from] BadRecipient),
    /// The source of randomness is broken.
    #[error(transparent)]
    Randomness(#[from] BadRandomness),
}

impl Effective {
    /// What is sent to the device with this public key (PEM): each secret of its factory and its group is encrypted for it, as
    /// its own are already. Without such secrets the key is not looked at. `random` gives other bytes each time.
    ///
    /// # Errors
    /// [`SealError`]; nothing is sent in clear instead.
    pub fn document(
        self,
        public_key: &str,
        mut random: impl FnMut() -> Randomness,
    ) -> Result<Document, SealError> {
        let Self {
            mut files, secrets, ..
        } = self;
        if secrets.is_empty() {
            return Ok(Document(files));
        }
        let recipient = Recipient::from_pem(public_key)?;
        let secrets = files.iter_mut().filter(|(name, _)| secrets.contains(*name));
        for (_, file) in secrets {
            seal(file, &recipient, &mut random)?;
        }
        Ok(Document(files))
    }
}

fn seal(
    file: &mut DocumentFile,
    recipient: &Recipient,
    random: &mut impl FnMut() -> Randomness,
) -> Result<(), BadRandomness> {
    let text = file.value.as_bytes();
    let sealed = recipient.encrypt(text, &random());
    // Bytes that are no key come once in four thousand million times, and not twice in a row.
    file.value = match sealed {
        Ok(sealed) => sealed,
        Err(BadRandomness) => recipient.encrypt(text, &random())?,
    };
    file.unencrypted = false;
    Ok(())
}

#[cfg(test)]
mod tests {
    use foghorn_types::Timestamp;
    use p256::pkcs8::{EncodePublicKey, LineEnding};

    use super::*;
    use crate::ecies::DeviceKey;
    use crate::effective::{Level, Levels, effective};
    use crate::{ConfigFiles, OpenedFile, SETTINGS_FILE, open};

    const SCALAR: [u8; 32] = [3; 32];

    fn key() -> DeviceKey {
        DeviceKey::from_scalar(&SCALAR).unwrap()
    }

    fn public_key() -> String {
        let key = p256::SecretKey::from_slice(&SCALAR).unwrap().public_key();
        key.to_public_key_pem(LineEnding::LF).unwrap()
    }

    /// Other bytes each time.
    fn random() -> impl FnMut() -> Randomness {
        let mut count = 0;
        move || {
            count += 1;
            Randomness {
                scalar: [count; 32],
                iv: [count; 16],
            }
        }
    }

    fn files(text: &str) -> ConfigFiles {
        serde_json::from_str(text).unwrap()
    }

    fn at(files: &ConfigFiles) -> Option<Level<'_>> {
        Some(Level {
            files,
            changed: Timestamp::from_millis(1),
        })
    }

    #[test]
    fn secrets_of_factory_and_group_are_encrypted_for_the_device_and_its_own_stay_as_they_are() {
        let once = Randomness {
            scalar: [9; 32],
            iv: [9; 16],
        };
        let own = key().recipient().encrypt(b"own", &once).unwrap();
        let factory = files(
            r#"[{"name":"a","value":"of all","on-changed":["/h"]},{"name":"b","value":"of all"},
                {"name":"c","value":"hidden"},{"name":"d/e","value":"of all"},{"name":"plain","value":"p","unencrypted":true}]"#,
        );
        let group = files(
            r#"[{"name":"b","value":"of the group"},{"name":"empty"},{"name":"open","value":"o","unencrypted":true}]"#,
        );
        let device = files(&format!(
            r#"[{{"name":"c","value":"shown","unencrypted":true}},{{"name":"d","value":"{own}"}}]"#
        ));
        let levels = Levels {
            factory: at(&factory),
            group: at(&group),
            device: at(&device),
            membership_changed: None,
        };
        let document = effective(&levels)
            .unwrap()
            .document(&public_key(), random())
            .unwrap();
        assert_eq!(document.0["d"].value, own);
        let clear = document.0.iter().filter(|(_, file)| file.unencrypted);
        let clear: Vec<_> = clear.map(|(name, _)| name.as_str()).collect();
        assert_eq!(clear, ["c", "open", "plain"]);
        assert_ne!(
            document.0["a"].value[..88],
            document.0["b"].value[..88],
            "each has an ephemeral key of its own"
        );
        let text = String::from_utf8(document.write()).unwrap();
        for secret in ["of all", "of the group", "hidden"] {
            assert!(!text.contains(secret), "{text}");
        }
        let opened = open(&Document::read(text.as_bytes()).unwrap(), Some(&key())).unwrap();
        let content: Vec<_> = opened
            .iter()
            .map(|(name, file)| (name.as_str(), file.content.as_slice()))
            .collect();
        let expected: [(&str, &[u8]); 7] = [
            ("a", b"of all"),
            ("b", b"of the group"),
            ("c", b"shown"),
            ("d", b"own"),
            ("empty", b""),
            ("open", b"o"),
            ("plain", b"p"),
        ];
        assert_eq!(content, expected);
        let OpenedFile { on_changed, .. } = &opened["a"];
        assert_eq!(on_changed, &["/h"]);
    }

    #[test]
    fn settings_are_sent_in_clear_because_they_are_merged() {
        let factory = files(&format!(
            r#"[{{"name":"{SETTINGS_FILE}","value":"[pacman]\ntags = \"a\"\n"}}]"#
        ));
        let levels = Levels {
            factory: at(&factory),
            ..Levels::default()
        };
        let given = effective(&levels).unwrap().document("", random()).unwrap();
        assert!(given.0[SETTINGS_FILE].unencrypted);
    }

    #[test]
    fn without_a_key_on_p_256_no_secret_is_sent() {
        let (secret, plain) = (
            files(r#"[{"name":"a","value":"hidden"}]"#),
            files(r#"[{"name":"a","value":"shown","unencrypted":true}]"#),
        );
        let given = |files: &ConfigFiles| {
            let levels = Levels {
                group: at(files),
                ..Levels::default()
            };
            effective(&levels).unwrap().document("a key", random())
        };
        assert_eq!(given(&secret), Err(SealError::Recipient(BadRecipient)));
        assert_eq!(given(&plain).unwrap().0["a"].value, "shown");
    }

    #[test]
    fn bad_randomness_is_replaced_once_and_then_told() {
        let factory = files(r#"[{"name":"a","value":"hidden"}]"#);
        let levels = Levels {
            factory: at(&factory),
            ..Levels::default()
        };
        let bad = Randomness {
            scalar: [0; 32],
            iv: [0; 16],
        };
        let given = effective(&levels).unwrap();
        let refused = given.clone().document(&public_key(), || bad);
        assert_eq!(refused, Err(SealError::Randomness(BadRandomness)));
        let (mut good, mut is_first) = (random(), true);
        let mixed = || match std::mem::take(&mut is_first) {
            true => bad,
            false => good(),
        };
        assert!(given.document(&public_key(), mixed).is_ok());
    }
}
