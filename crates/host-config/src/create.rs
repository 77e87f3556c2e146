//! The body of a request that changes the config of one level.

use serde::Deserialize;

use crate::{BadFileName, BadFiles, ConfigFile, ConfigFiles, FileName};

/// Longest reason, in bytes.
pub const LONGEST_REASON: usize = 4096;

/// Files for a new version, and why. PATCH adds them to the latest one ([`ConfigFiles::merged`]), POST replaces it
/// ([`ConfigCreate::replacing`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigCreate {
    /// Words for the history; may be empty.
    pub reason: String,
    /// Checked: together they can be a version.
    pub files: Vec<ConfigFile>,
}

/// Why a body is not taken. [`BadRequest::field`] names the place.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadRequest {
    #[error("the body is not a config in JSON")]
    Json {
        /// Empty for the whole body.
        field: String,
        source: serde_json::Error,
    },
    #[error("the file cannot have this name")]
    Name { field: String, source: BadFileName },
    #[error("an argument of the handler has a NUL in it")]
    Nul { field: String },
    #[error("the handler has no program: its first argument is empty")]
    NoProgram { field: String },
    #[error("the reason has {bytes} bytes; {LONGEST_REASON} are allowed")]
    LongReason { bytes: usize },
    #[error("the files cannot be given together")]
    Files(#[source] BadFiles),
}

impl BadRequest {
    /// Such as `files[2].name`; empty when it is about the whole body.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Json { field, .. }
            | Self::Name { field, .. }
            | Self::Nul { field }
            | Self::NoProgram { field } => field,
            Self::LongReason { .. } => "reason",
            Self::Files(_) => "files",
        }
    }

    /// Whether the API answers 413.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Files(files) if files.is_too_large())
    }
}

/// As clients write it: what is missing or null is empty.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    files: Option<Vec<BodyFile>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BodyFile {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    unencrypted: Option<bool>,
    #[serde(default)]
    on_changed: Option<Vec<String>>,
}

impl ConfigCreate {
    /// Reads a body. Keys that are not known are passed over: a device sends its public key in the same object.
    ///
    /// # Errors
    /// [`BadRequest`]; nothing of the body is to be stored then.
    pub fn read(body: &[u8]) -> Result<Self, BadRequest> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let read: Body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = error.path().to_string();
            BadRequest::Json {
                field: if field == "." { String::new() } else { field },
                source: error.into_inner(),
            }
        })?;
        json.end().map_err(|source| BadRequest::Json {
            field: String::new(),
            source,
        })?;
        let reason = read.reason.unwrap_or_default();
        if reason.len() > LONGEST_REASON {
            return Err(BadRequest::LongReason {
                bytes: reason.len(),
            });
        }
        let files = read.files.unwrap_or_default().into_iter().enumerate();
        let files = files.map(|(place, file)| file.check(place));
        let files: Vec<_> = files.collect::<Result<_, _>>()?;
        let files = ConfigFiles::new(files).map_err(BadRequest::Files)?;
        Ok(Self {
            reason,
            files: files.into(),
        })
    }

    /// What POST does: exactly these files.
    ///
    /// # Errors
    /// When they cannot be a version, which [`ConfigCreate::read`] has found out already.
    pub fn replacing(&self) -> Result<ConfigFiles, BadFiles> {
        ConfigFiles::new(self.files.clone())
    }
}

impl BodyFile {
    fn check(self, place: usize) -> Result<ConfigFile, BadRequest> {
        let name = FileName::try_from(self.name).map_err(|source| BadRequest::Name {
            field: format!("files[{place}].name"),
            source,
        })?;
        let on_changed = self.on_changed.unwrap_or_default();
        if on_changed.first().is_some_and(String::is_empty) {
            return Err(BadRequest::NoProgram {
                field: format!("files[{place}].on-changed[0]"),
            });
        }
        if let Some(at) = on_changed.iter().position(|text| text.contains('\0')) {
            return Err(BadRequest::Nul {
                field: format!("files[{place}].on-changed[{at}]"),
            });
        }
        Ok(ConfigFile {
            name,
            value: self.value.unwrap_or_default(),
            unencrypted: self.unencrypted.unwrap_or_default(),
            on_changed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_null_is_empty() {
        let body = br#"{"reason":null,"files":[{"name":"a","on-changed":null},{"name":"b","value":"v","unencrypted":true}],"public-key":"x"}"#;
        let read = ConfigCreate::read(body).unwrap();
        assert_eq!(read.reason, "");
        assert_eq!(read.files.len(), 2);
        assert!(!read.files[0].unencrypted && read.files[1].unencrypted);
        assert!(ConfigCreate::read(b"{}").unwrap().files.is_empty());
    }

    #[test]
    fn an_error_names_its_field() {
        for (body, field) in [
            (r#""x""#, ""),
            (r#"{"files":[]} x"#, ""),
            (r#"{"reason":7}"#, "reason"),
            (r#"{"files":[{"name":"a"},{"name":3}]}"#, "files[1].name"),
            (
                r#"{"files":[{"name":"a"},{"name":"../b"}]}"#,
                "files[1].name",
            ),
            (r#"{"files":[{"name":"a\u0000"}]}"#, "files[0].name"),
            (
                r#"{"files":[{"name":"a","on-changed":["h","\u0000"]}]}"#,
                "files[0].on-changed[1]",
            ),
            (
                r#"{"files":[{"name":"a","on-changed":[""]}]}"#,
                "files[0].on-changed[0]",
            ),
            (r#"{"files":[{"name":"a"},{"name":"a"}]}"#, "files"),
            (r#"{"files":[{"name":"a"},{"name":"a/b"}]}"#, "files"),
        ] {
            let error = ConfigCreate::read(body.as_bytes()).unwrap_err();
            assert_eq!(error.field(), field, "{body}: {error}");
            assert!(!error.is_too_large());
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_told_from_a_wrong_one() {
        let body = format!(
            r#"{{"files":[{{"name":"a","value":"{}"}}]}}"#,
            "x".repeat(1_100_000)
        );
        let error = ConfigCreate::read(body.as_bytes()).unwrap_err();
        assert!(error.is_too_large(), "{error}");
        let reason = format!(r#"{{"reason":"{}"}}"#, "x".repeat(LONGEST_REASON + 1));
        assert_eq!(
            ConfigCreate::read(reason.as_bytes()).unwrap_err().field(),
            "reason"
        );
    }
}
