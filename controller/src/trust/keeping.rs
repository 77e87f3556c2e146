//! Where the certificate authority of a controller is, and the key under which a store has it.
//!
//! One box has it in its data directory. Several controllers need the same one: a folder that others
//! fill, or the store itself, where it is encrypted with a key that the store has not.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::pem::AuthorityPem;
use super::seal::{SealError, Sealer};

/// A shorter key could be guessed by whoever has a copy of the store.
pub const SHORTEST_KEY: usize = 32;
/// A service that keeps keys answers in a moment, or is not there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// More is no key, in bytes.
const MOST_PRINTED: usize = 64 << 10;
/// Of the complaints of a program, in bytes.
const MOST_SAID: usize = 1024;
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
    Read { path: PathBuf, source: io::Error },
    #[error("could not run {program} (`trust.store_key_command`)")]
    Run { program: String, source: io::Error },
    #[error("{program} (`trust.store_key_command`) ended with {status}: {said}")]
    Failed {
        program: String,
        status: ExitStatus,
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
    let child = Command::new(program)
        .args(words.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(run)?;
    let ended = timeout(ANSWERS_WITHIN, end_of(child)).await.map_err(|_| {
        let why = format!("it has not ended within {} s", ANSWERS_WITHIN.as_secs());
        run(io::Error::new(io::ErrorKind::TimedOut, why))
    })?;
    let (status, printed, said) = ended.map_err(run)?;
    if status.success() {
        // Half of random bytes would become the same character.
        let why = "what it prints is not text: encode random bytes, such as with `base64`";
        return String::from_utf8(printed)
            .map_err(|_| run(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    Err(StoreKeyError::Failed {
        program: program.to_owned(),
        status,
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// How a program ended, what it printed, and the beginning of its complaints.
async fn end_of(mut child: Child) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let printed = async {
        let (printed, is_all) = beginning(out, MOST_PRINTED).await?;
        match is_all {
            true => Ok(printed),
            false => Err(io::Error::other(format!(
                "it prints more than {MOST_PRINTED} bytes, which is no key"
            ))),
        }
    };
    let said = async {
        let Some(mut err) = err else {
            return Ok(Vec::new());
        };
        let (said, _) = beginning(Some(&mut err), MOST_SAID).await?;
        // Nobody reads the rest, but the program would wait for a reader.
        tokio::io::copy(&mut err, &mut tokio::io::sink()).await?;
        Ok::<_, io::Error>(said)
    };
    let (printed, said) = tokio::try_join!(printed, said)?;
    Ok((child.wait().await?, printed, said))
}

/// The first bytes of what a program writes, and whether that is all.
async fn beginning(
    from: Option<impl AsyncRead + Unpin>,
    most: usize,
) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let more = most as u64 + 1;
        from.take(more).read_to_end(&mut bytes).await?;
    }
    let is_all = bytes.len() <= most;
    bytes.truncate(most);
    Ok((bytes, is_all))
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

    /// The folder of this controller's own in which the authority is; `None` where others keep it, or
    /// the store does.
    #[must_use]
    pub fn own_folder(&self) -> Option<&Path> {
        match self {
            Self::Own(folder) => Some(folder),
            Self::Given(_) | Self::Store { .. } => None,
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

    #[tokio::test]
    async fn a_program_that_prints_no_key_costs_no_memory_and_makes_no_weak_one() {
        let said_by = async |script: &str| {
            let words = ["sh", "-c", script].map(str::to_owned);
            let key = KeySource::Command(words.to_vec());
            let read = timeout(ANSWERS_WITHIN / 2, key.read()).await;
            let error = read.expect("it was stopped at once").unwrap_err();
            let source = std::error::Error::source(&error);
            let cause = source.map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        };
        let said = said_by("exec yes").await;
        assert!(said.contains("prints more than"), "{said}");
        let said = said_by("printf '\\377%040d' 1").await;
        assert!(said.contains("is not text"), "{said}");
        let said = said_by("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3").await;
        assert!(said.contains("xxx") && said.len() < 2000, "{}", said.len());
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
