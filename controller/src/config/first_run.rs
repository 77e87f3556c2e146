//! `[first_run]`: the first user, and its credentials where somebody gives them.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// Name of the first user when nothing else is said.
pub const FIRST_USER: &str = "fog";

/// Credentials that are given instead of being made, with the user whose they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenCredentials {
    pub user: String,
    pub api_token: SecretSource,
    pub user_token: Option<SecretSource>,
    pub password: Option<SecretSource>,
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// It is known from the start.
    Known(String),
    /// A file with nothing but it, which is read again while the controller runs.
    File(PathBuf),
}

impl fmt::Debug for SecretSource {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(_) => f.write_str("Known"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The first user and its credentials. When some are given, none are made and none are shown: the
/// API token, and the password or the token of the user. A file has nothing but the secret in it,
/// such as one of a mounted Secret of Kubernetes; when it changes while the controller runs, the
/// credential changes.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFirstRun {
    /// Name of the first user, an administrator.
    #[schemars(extend("default" = FIRST_USER))]
    user: Option<String>,
    /// File with the API token: at least 32 characters, without spaces.
    #[schemars(extend("examples" = ["/run/secrets/foghorn/api_token"]))]
    api_token_file: Option<PathBuf>,
    /// File with the token of the user, another one of the same form.
    #[schemars(extend("examples" = ["/run/secrets/foghorn/user_token"]))]
    user_token_file: Option<PathBuf>,
    /// File with the password of the user: 8 to 1024 bytes.
    #[schemars(extend("examples" = ["/run/secrets/foghorn/password"]))]
    password_file: Option<PathBuf>,
    /// In place of a file: the API token itself. Meant for a variable of the environment.
    #[schemars(extend("examples" = ["…"], "writeOnly" = true))]
    api_token: Option<String>,
    /// In place of a file: the token of the user.
    #[schemars(extend("examples" = ["…"], "writeOnly" = true))]
    user_token: Option<String>,
    /// In place of a file: the password.
    #[schemars(extend("examples" = ["…"], "writeOnly" = true))]
    password: Option<String>,
}

impl RawFirstRun {
    /// The name of the first user, and what is given.
    pub(super) fn check(self) -> Result<(String, Option<GivenCredentials>), ConfigError> {
        let user = self.user.unwrap_or_else(|| FIRST_USER.to_owned());
        let api_token = one("first_run.api_token", self.api_token, self.api_token_file)?;
        let user_token = one(
            "first_run.user_token",
            self.user_token,
            self.user_token_file,
        )?;
        let password = one("first_run.password", self.password, self.password_file)?;
        let Some(api_token) = api_token else {
            return match user_token.or(password) {
                None => Ok((user, None)),
                Some(_) => Err(ConfigError::Value {
                    key: "first_run.api_token_file",
                    why: "is required beside a password or a token of the user: nobody gets in \
                          without the API token"
                        .to_owned(),
                }),
            };
        };
        if user_token.is_none() && password.is_none() {
            return Err(ConfigError::Value {
                key: "first_run.password_file",
                why: "this or first_run.user_token_file is required beside the API token: nobody \
                      could log in as the first user"
                    .to_owned(),
            });
        }
        let given = GivenCredentials {
            user: user.clone(),
            api_token,
            user_token,
            password,
        };
        Ok((user, Some(given)))
    }
}

/// The secret or its file, of which there can be one.
fn one(
    key: &'static str,
    known: Option<String>,
    file: Option<PathBuf>,
) -> Result<Option<SecretSource>, ConfigError> {
    match (known, file) {
        (Some(_), Some(_)) => Err(ConfigError::Value {
            key,
            why: format!("{key}_file is set, too: it comes from one of them"),
        }),
        (known, file) => Ok(known
            .map(SecretSource::Known)
            .or(file.map(SecretSource::File))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(String, Option<GivenCredentials>), String> {
        let raw: RawFirstRun = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.check().map_err(|error| error.to_string())
    }

    #[test]
    fn credentials_are_given_whole_or_not_at_all() {
        assert_eq!(check(""), Ok(("fog".to_owned(), None)));
        assert_eq!(check("user = 'anna'"), Ok(("anna".to_owned(), None)));
        let (user, given) =
            check("user = 'anna'\napi_token_file = '/a'\npassword = 's3cret'").unwrap();
        let given = given.unwrap();
        assert_eq!((user.as_str(), given.user.as_str()), ("anna", "anna"));
        assert_eq!(given.api_token, SecretSource::File("/a".into()));
        assert_eq!(given.user_token, None);
        assert!(!format!("{given:?}").contains("s3cret"));
        for (text, key) in [
            ("api_token = 'x'", "first_run.password_file"),
            ("password = 'x'", "first_run.api_token_file"),
            ("user_token_file = '/x'", "first_run.api_token_file"),
            (
                "api_token = 'x'\napi_token_file = '/x'",
                "first_run.api_token",
            ),
            ("tokn = 'x'", "tokn"),
        ] {
            let said = check(text).unwrap_err();
            assert!(said.contains(key), "{text:?}: {said}");
        }
    }
}
