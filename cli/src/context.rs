//! The context file: the known servers and how to connect to them.
//!
//! It holds tokens, so it is written with mode 0600 and replaced atomically. Environment variables
//! override what it says, for scripts that must leave no file behind.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything that is needed to connect to one server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Such as `https://fog.example.org:8443`, without a trailing slash.
    pub server: String,
    /// The authority that signed the server's certificate, as PEM. Without it the public
    /// authorities are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    pub api_token: String,
    pub user_token: String,
}

/// The file as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// Name of the context in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error(
        "could not determine the path of the context file: neither XDG_CONFIG_HOME nor HOME is set"
    )]
    NoHome,
    #[error("could not read the context file {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the context file {} is invalid", path.display())]
    Parse {
        path: PathBuf,
        source: foghorn_settings::WrongLine,
    },
    #[error("the context file {} can be read by other users, but it contains tokens", path.display())]
    TooOpen { path: PathBuf },
    #[error("could not write the context file {}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Where the file is: `$FOGHORN_CONTEXTS`, else `foghorn/contexts.toml` in the XDG configuration
/// folder.
///
/// # Errors
/// When the environment contains neither variable.
pub fn default_path() -> Result<PathBuf, ContextError> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = set("FOGHORN_CONTEXTS") {
        return Ok(path);
    }
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    folder
        .map(|folder| folder.join("foghorn/contexts.toml"))
        .ok_or(ContextError::NoHome)
}

impl Contexts {
    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// When it cannot be read, is readable by others, or has an unknown key.
    pub fn load(path: &Path) -> Result<Self, ContextError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => {
                return Err(ContextError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let mode = std::fs::metadata(path)
            .map_err(|source| ContextError::Read {
                path: path.to_owned(),
                source,
            })?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(ContextError::TooOpen {
                path: path.to_owned(),
            });
        }
        // Its lines hold tokens.
        toml::from_str(&text).map_err(|error| ContextError::Parse {
            path: path.to_owned(),
            source: foghorn_settings::WrongLine::of(&text, &error),
        })
    }

    /// Replaces the file atomically: after a crash there is either the old or the new one.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ContextError> {
        let failed = |source| ContextError::Write {
            path: path.to_owned(),
            source,
        };
        let text =
            toml::to_string_pretty(self).map_err(|error| failed(std::io::Error::other(error)))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let next = path.with_extension(format!("new-{}", std::process::id()));
        let written =
            write_private(&next, text.as_bytes()).and_then(|()| std::fs::rename(&next, path));
        written.map_err(|source| {
            // Best effort: the error that matters is the one returned below.
            let _ = std::fs::remove_file(&next);
            failed(source)
        })
    }
}

/// Writes a new file that only its owner can read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Contexts {
        let context = Context {
            server: "https://fog:8443".into(),
            ca_pem: Some("-----BEGIN CERTIFICATE-----\n".into()),
            api_token: "a".into(),
            user_token: "u".into(),
        };
        Contexts {
            current: Some("lab".into()),
            contexts: [("lab".to_owned(), context)].into(),
        }
    }

    #[test]
    fn the_file_round_trips_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/contexts.toml");
        assert_eq!(Contexts::load(&path).unwrap(), Contexts::default());
        sample().save(&path).unwrap();
        sample().save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), sample());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_file_that_others_can_read_or_with_an_unknown_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contexts.toml");
        sample().save(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Contexts::load(&path),
            Err(ContextError::TooOpen { .. })
        ));
        std::fs::write(&path, "surprise = 1\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            Contexts::load(&path),
            Err(ContextError::Parse { .. })
        ));
    }
}
