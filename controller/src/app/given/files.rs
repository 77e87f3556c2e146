//! Reads credentials that are given.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::app::user_rules::{LONGEST_PASSWORD, SHORTEST_PASSWORD, check_name};
use crate::config::{GivenCredentials, SecretSource};
use crate::state::Refusal;

/// Tokens are stored by a fast hash, so they have to be too long to be guessed.
const SHORTEST_TOKEN: usize = 32;
/// Of a file.
const MOST_BYTES: u64 = 64 << 10;

/// Credentials as they are given now.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub api_token: String,
    pub user_token: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why credentials that are given cannot be used. Never with their text.
#[derive(Debug, thiserror::Error)]
pub enum ReadGivenError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{place} {why}")]
    Value { place: String, why: String },
    #[error("first_run.user cannot be used")]
    User(#[source] Refusal),
}

/// Whether the first user can have this name, with credentials that are given or with others.
///
/// # Errors
/// [`ReadGivenError::User`].
pub fn check_user(name: &str) -> Result<(), ReadGivenError> {
    check_name(name).map_err(ReadGivenError::User)
}

/// Reads what is given. Short, but of the disk.
///
/// # Errors
/// When a file cannot be read, or what is in it is no password or token.
pub fn read(given: &GivenCredentials) -> Result<Credentials, ReadGivenError> {
    check_user(&given.user)?;
    let token = |source: &SecretSource, key| {
        let (place, text) = text_of(source, key)?;
        let text = text.trim().to_owned();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < SHORTEST_TOKEN || !is_plain {
            let why = format!(
                "is no token: that has at least {SHORTEST_TOKEN} letters, digits and signs, and \
                 no spaces"
            );
            return Err(ReadGivenError::Value { place, why });
        }
        Ok((place, text))
    };
    let (_, api_token) = token(&given.api_token, "first_run.api_token")?;
    let user_token = given.user_token.as_ref();
    let user_token = user_token.map(|source| token(source, "first_run.user_token"));
    let user_token = match user_token.transpose()? {
        Some((place, text)) if text == api_token => {
            let why = "is the API token: give two different ones".to_owned();
            return Err(ReadGivenError::Value { place, why });
        }
        other => other.map(|(_, text)| text),
    };
    let password = given.password.as_ref().map(password).transpose()?;
    Ok(Credentials {
        user: given.user.clone(),
        api_token,
        user_token,
        password,
    })
}

fn password(source: &SecretSource) -> Result<String, ReadGivenError> {
    let (place, text) = text_of(source, "first_run.password")?;
    if (SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&text.len()) {
        return Ok(text);
    }
    let why = format!("is no password: that has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} bytes");
    Err(ReadGivenError::Value { place, why })
}

/// The secret, and what it is called in complaints. The last line end of a file does not count.
fn text_of(source: &SecretSource, key: &str) -> Result<(String, String), ReadGivenError> {
    match source {
        SecretSource::Known(text) => Ok((key.to_owned(), text.clone())),
        SecretSource::File(path) => {
            let place = format!("the content of {}", path.display());
            let bytes = content(path).map_err(|source| ReadGivenError::Read {
                path: path.clone(),
                source,
            })?;
            let Ok(text) = String::from_utf8(bytes) else {
                let why = "is not text in UTF-8".to_owned();
                return Err(ReadGivenError::Value { place, why });
            };
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            Ok((place, text.to_owned()))
        }
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: to open a pipe waits for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "api-token-0123456789-0123456789-x";
    const USER: &str = "user-token-0123456789-0123456789";

    fn given(folder: &Path, [api, user, password]: [&str; 3]) -> GivenCredentials {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            SecretSource::File(path)
        };
        GivenCredentials {
            user: "fog".to_owned(),
            api_token: file("api_token", api),
            user_token: Some(file("user_token", user)),
            password: Some(file("password", password)),
        }
    }

    #[test]
    fn files_are_read_without_their_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let texts = [&*format!("{API}\n"), USER, " pass word\r\n"];
        let read = read(&given(folder.path(), texts)).unwrap();
        assert_eq!((read.user.as_str(), read.api_token.as_str()), ("fog", API));
        assert_eq!(read.user_token.as_deref(), Some(USER));
        assert_eq!(read.password.as_deref(), Some(" pass word"));
        assert!(!format!("{read:?}").contains("pass word"));
    }

    #[test]
    fn what_would_be_weak_or_missing_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (texts, part) in [
            ([API, USER, "short"], "password"),
            (["s3cret", USER, "pass word"], "api_token"),
            ([API, "", "pass word"], "user_token"),
            ([API, API, "pass word"], "two different"),
            (
                [API, "with spaces 0123456789 0123456789", "pass word"],
                "no spaces",
            ),
        ] {
            let error = read(&given(folder.path(), texts)).unwrap_err();
            let said = foghorn_types::chain(&error).to_string();
            assert!(said.contains(part) && !said.contains("s3cret"), "{said}");
        }
        let mut lacks = given(folder.path(), [API, USER, "pass word"]);
        lacks.password = Some(SecretSource::File(folder.path().join("missing")));
        let said = read(&lacks).unwrap_err().to_string();
        assert!(said.contains("missing"), "{said}");
        lacks.password = Some(SecretSource::File(folder.path().to_owned()));
        assert!(read(&lacks).is_err(), "a folder");
        lacks.password = None;
        lacks.user = String::new();
        assert!(matches!(read(&lacks), Err(ReadGivenError::User(_))));
        lacks.user = "anna".to_owned();
        assert_eq!(read(&lacks).unwrap().password, None);
    }
}
