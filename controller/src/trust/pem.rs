//! A certificate authority as two texts in PEM, and the folders that have one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use tracing::warn;

/// Names of the certificate and of the key in a folder: those that a controller writes, and those of
/// a Kubernetes Secret of the type `kubernetes.io/tls`.
const NAMES: [[&str; 2]; 2] = [["ca.pem", "ca.key"], ["tls.crt", "tls.key"]];

/// Certificate and private key. `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityPem {
    pub certificate: String,
    /// PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityPem")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Why two texts are no certificate authority.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("the certificate is not exactly one in PEM")]
    Certificate {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the key is not a private key in PEM (PKCS#8; ECDSA or Ed25519)")]
    Key { source: rcgen::Error },
    #[error("the certificate is not that of an authority: it must not sign certificates")]
    NotAnAuthority,
    #[error("the certificate belongs to another key")]
    ForeignKey,
}

/// Why the certificate authority could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadTrustError {
    #[error("could not read or write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{present} exists but {missing} does not: a certificate authority needs both files", present = present.display(), missing = missing.display())]
    Half { present: PathBuf, missing: PathBuf },
    #[error("{file} cannot be used for the certificate authority", file = file.display())]
    Unusable { file: PathBuf, source: PemError },
    #[error("could not create a certificate authority")]
    Create { source: rcgen::Error },
}

impl AuthorityPem {
    /// Whether `folder` has an authority, or half of one.
    pub(super) fn exists(folder: &Path) -> bool {
        NAMES
            .iter()
            .flatten()
            .any(|name| folder.join(name).exists())
    }

    /// What `folder` has, with the paths of certificate and key; `None` if it has neither.
    pub(super) fn read(folder: &Path) -> Result<Option<(Self, [PathBuf; 2])>, LoadTrustError> {
        for [certificate, key] in NAMES.map(|pair| pair.map(|name| folder.join(name))) {
            match (certificate.exists(), key.exists()) {
                (true, true) => {
                    warn_if_others_can_read(&key);
                    let pem = Self {
                        certificate: text_of(&certificate)?,
                        key: text_of(&key)?,
                    };
                    return Ok(Some((pem, [certificate, key])));
                }
                (false, false) => {}
                (true, false) => {
                    let (present, missing) = (certificate, key);
                    return Err(LoadTrustError::Half { present, missing });
                }
                (false, true) => {
                    let (present, missing) = (key, certificate);
                    return Err(LoadTrustError::Half { present, missing });
                }
            }
        }
        Ok(None)
    }

    /// The same as files of a folder of ours, in the order of their names.
    #[must_use]
    pub fn files(&self) -> [(&'static str, &str); 2] {
        let [certificate, key] = NAMES[0];
        [(key, &self.key), (certificate, &self.certificate)]
    }

    /// What [`AuthorityPem::files`] has given, as bytes in any order.
    #[must_use]
    pub fn from_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let [certificate, key] = NAMES[0];
        let (mut found, mut found_key) = (None, None);
        for (name, content) in files {
            let text = || String::from_utf8(content.to_vec()).ok();
            if name == certificate {
                found = text();
            } else if name == key {
                found_key = text();
            }
        }
        Some(Self {
            certificate: found?,
            key: found_key?,
        })
    }

    pub(super) fn key_pair(&self) -> Result<KeyPair, PemError> {
        KeyPair::from_pem(&self.key).map_err(|source| PemError::Key { source })
    }
}

fn text_of(path: &Path) -> Result<String, LoadTrustError> {
    fs::read_to_string(path).map_err(|source| LoadTrustError::Io {
        path: path.to_owned(),
        source,
    })
}

fn warn_if_others_can_read(key: &Path) {
    if let Ok(metadata) = fs::metadata(key)
        && metadata.permissions().mode() & 0o077 != 0
    {
        warn!(
            path = %key.display(),
            "the private key of the certificate authority can be read by other users"
        );
    }
}
