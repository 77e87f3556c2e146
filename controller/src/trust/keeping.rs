//! Where the certificate authority of a controller is, and the key under which a store has it.
//!
//! One box has it in its data directory. Several controllers need the same one: a folder that others
//! fill, or the store itself, where it is encrypted with a key that the store has not.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::pem::AuthorityPem;
use super::seal::{SealError, Sealer};

/// A shorter key could be guessed by whoever has a copy of the store.
pub const SHORTEST_KEY: usize = 32;
/// A service that keeps keys answers in a moment, or is not there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// What is encrypted, as [`Sealer`] wants it told.
const WHAT: &str = "certificate authority";

/// See the module.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// A folder of this controller, which makes an authority there if none is known.
    Own(PathBuf),
    /// A folder that others fill, such as a mounted Secret. It is never written.
    Given(PathBuf),
    /// The store. `before` is the folder in which an earlier configuration had it.
    Store { key: StoreKey, before: PathBuf },
}

/// The key under which the store has the authority. `Debug` does not show it.
#[derive(Clone)]
pub struct StoreKey(String);

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

/// Where that key comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    File(PathBuf),
    /// A program and its arguments; what it prints is the key.
    Command(Vec<String>),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum StoreKeyError {
    #[error("could not read the key of the certificate authority from {path} (`trust.store_key_file`)", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not run {program} (`trust.store_key_command`)")]
    Run {
        program: String,
        source: std::io::Error,
    },
    #[error("{program} (`trust.store_key_command`) ended with {status}: {said}")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
        said: String,
    },
    #[error(
        "the key of the certificate authority from {origin} has {found} characters, and at least {SHORTEST_KEY} are needed: make one with `head -c 32 /dev/urandom | base64`"
    )]
    Short { origin: String, found: usize },
}

impl KeySource {
    /// Reads the key; white space around it does not count.
    ///
    /// # Errors
    /// See [`StoreKeyError`].
    pub async fn read(&self) -> Result<StoreKey, StoreKeyError> {
        let (text, origin) = match self {
            Self::File(path) => {
                let failed = |source| StoreKeyError::Read {
                    path: path.clone(),
                    source,
                };
                let text = tokio::fs::read_to_string(path).await.map_err(failed)?;
                (text, path.display().to_string())
            }
            Self::Command(words) => {
                let program = words.first().cloned().unwrap_or_default();
                (output_of(&program, words).await?, program)
            }
        };
        let key = text.trim();
        let found = key.chars().count();
        if found < SHORTEST_KEY {
            return Err(StoreKeyError::Short { origin, found });
        }
        Ok(StoreKey(key.to_owned()))
    }
}

/// What the program `words` prints. It may ask a service elsewhere, but not for ever.
async fn output_of(program: &str, words: &[String]) -> Result<String, StoreKeyError> {
    let run = |source| StoreKeyError::Run {
        program: program.to_owned(),
        source,
    };
    let output = Command::new(program)
        .args(words.iter().skip(1))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(ANSWERS_WITHIN, output).await.map_err(|_| {
        let why = format!("it has not ended within {} s", ANSWERS_WITHIN.as_secs());
        run(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
    })?;
    let output = output.map_err(run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(StoreKeyError::Failed {
        program: program.to_owned(),
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

impl StoreKey {
    /// The private key of `authority`, encrypted.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&self, authority: &AuthorityPem) -> Result<String, SealError> {
        Sealer::new(self.0.as_bytes())?.seal(WHAT, &authority.key)
    }

    /// What [`StoreKey::seal`] has encrypted.
    ///
    /// # Errors
    /// [`SealError::Open`] for another key.
    pub fn open(&self, sealed: &str) -> Result<String, SealError> {
        Sealer::new(self.0.as_bytes())?.open(WHAT, sealed)
    }
}

impl Keeping {
    /// The folder in which an authority is, or was before.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self {
            Self::Own(folder) | Self::Given(folder) | Self::Store { before: folder, .. } => folder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_comes_from_a_file_or_a_program_and_is_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{}\n", "k".repeat(SHORTEST_KEY))).unwrap();
        let of_file = KeySource::File(path.clone()).read().await.unwrap();
        let shown = KeySource::Command(vec!["cat".to_owned(), path.display().to_string()]);
        assert_eq!(
            of_file.0,
            shown.read().await.unwrap().0,
            "white space does not count"
        );
        assert!(!format!("{of_file:?}").contains("kkk"));
        std::fs::write(&path, "short").unwrap();
        let error = KeySource::File(path).read().await.unwrap_err().to_string();
        assert!(
            error.contains("5 characters") && !error.contains("short"),
            "{error}"
        );
        let fails = KeySource::Command(vec![
            "sh".to_owned(),
            "-c".to_owned(),
            "echo locked >&2; exit 3".to_owned(),
        ]);
        let error = fails.read().await.unwrap_err().to_string();
        assert!(error.contains("locked") && error.contains('3'), "{error}");
    }

    #[test]
    fn only_the_same_key_opens_an_authority() {
        let key = |text: &str| StoreKey(text.repeat(SHORTEST_KEY));
        let authority = AuthorityPem {
            certificate: "public".to_owned(),
            key: "private".to_owned(),
        };
        let sealed = key("a").seal(&authority).unwrap();
        assert!(!sealed.contains("private"));
        assert_eq!(key("a").open(&sealed).as_deref(), Ok("private"));
        assert_eq!(key("b").open(&sealed), Err(SealError::Open));
    }
}
