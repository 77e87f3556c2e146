//! Why a request failed, for people: what was asked for, why not, and what to do about it.

use std::error::Error;
use std::fmt;

use super::trouble;
use crate::confirm::NOTHING_CHANGED;
use crate::exit::{Exit, Failure};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("could not read the certificate authority of this server")]
    Authority(#[source] ureq::Error),
    #[error("could not reach {server}")]
    Unreachable { server: String, source: ureq::Error },
    #[error("{server} did not accept the {token}")]
    Credentials { server: String, token: Token },
    /// The tokens are valid, but the role is insufficient, or there were too many attempts.
    #[error("{0}")]
    Forbidden(Said),
    #[error("{0}")]
    NotFound(Said),
    #[error("{0}")]
    Conflict(Said),
    #[error("{0}")]
    Invalid(Said),
    /// No failure: the server would do it.
    #[error("{NOTHING_CHANGED}")]
    Rehearsed { answer: String },
    /// It can be carried out, but not on this: there is no content, or it is protected.
    #[error("{0}")]
    Refused(Said),
    #[error("{said}")]
    Server { status: u16, said: Said },
    #[error("could not read the answer of the server")]
    Answer {
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Which of the two tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    Api,
    User,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "API token",
            Self::User => "user token",
        })
    }
}

/// A refusal in words: what was asked for and why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Such as "create the host".
    pub action: String,
    pub message: String,
    /// The command for objects of this kind; empty without one.
    pub command: &'static str,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.action, self.message)
    }
}

/// Parts of messages of the server that mean a conflict: FOG's statuses do not distinguish one from
/// a crash.
const TAKEN: [&str; 8] = [
    "already created",
    "already a member of an active task",
    "already in use",
    "exists already",
    "is in use by task",
    "is taken",
    "belongs to",
    "nothing to cancel",
];

/// Parts of messages of a refusal because of what the object is.
const NOT_WITH_THIS: [&str; 5] = [
    "has no content",
    "image is not valid",
    "image is not enabled",
    "is in no storage group",
    "is protected",
];

/// What an answer other than success means. `said` is its body and `problem` the explanation beside
/// it: FOG's words for many things are the same, or none.
pub(super) fn classify(
    status: u16,
    said: Option<String>,
    problem: Option<String>,
    what: Said,
    server: &str,
) -> ApiError {
    let both = format!(
        "{} {}",
        said.as_deref().unwrap_or_default(),
        problem.as_deref().unwrap_or_default()
    )
    .to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| both.contains(part));
    let is_told = said.is_some() || problem.is_some();
    let message = problem
        .or(said)
        .unwrap_or_else(|| silent(status).to_owned());
    let creates = what.action.starts_with("create ") || what.action.starts_with("change ");
    let said = Said {
        message: in_words(&message),
        ..what
    };
    let credentials = |token| ApiError::Credentials {
        server: server.to_owned(),
        token,
    };
    match status {
        403 if is_told && has(&["needs the role", "turned off"]) => ApiError::Forbidden(said),
        302 => ApiError::Forbidden(Said {
            message: "the API is turned off".to_owned(),
            ..said
        }),
        429 => ApiError::Forbidden(said),
        401 => credentials(Token::User),
        403 if !is_told || has(&["api token is missing or wrong"]) => credentials(Token::Api),
        403 => ApiError::Forbidden(said),
        // FOG answers 404 to objects that it does not take, too.
        404 if creates && is_told && !has(&["does not exist", "exists already"]) => {
            ApiError::Invalid(said)
        }
        404 if has(&["exists already"]) => ApiError::Conflict(said),
        404 | 410 => ApiError::NotFound(said),
        409 if has(&NOT_WITH_THIS) => ApiError::Refused(said),
        409 | 412 => ApiError::Conflict(said),
        500 if has(&NOT_WITH_THIS) => ApiError::Refused(said),
        500 if has(&TAKEN) => ApiError::Conflict(said),
        // With a reason it is a refusal; a fault of the server has none, or names its log.
        500 if is_told && !has(&["see its log"]) => ApiError::Invalid(said),
        400 | 413 | 415 | 417 | 422 | 501 => ApiError::Invalid(said),
        _ => ApiError::Server { status, said },
    }
}

/// What an answer without a word means.
fn silent(status: u16) -> &'static str {
    match status {
        404 => "it does not exist",
        429 => "too many failed log-ins from here",
        502 | 504 => "a proxy answered, because the server behind it did not",
        503 => "the server is not ready",
        500..=599 => "the server failed",
        _ => "the server gave no reason",
    }
}

/// Fields of the API that refusals speak of, and what sets them here.
const SET_BY: [(&str, &str); 3] = [
    ("imagePartitionTypeID", "foghorn image edit --part"),
    ("imageTypeID", "foghorn image edit --all-disks or --raw"),
    ("kernelDevice", "foghorn host edit --disk"),
];

/// Fields of the API as people call them.
const CALLED: [(&str, &str); 14] = [
    ("name", "the name"),
    ("macs", "the MAC address"),
    ("mac", "the MAC address"),
    ("kernelDevice", "the disk rule"),
    ("imageID", "the image"),
    ("hostID", "the host"),
    ("minute", "the minute"),
    ("hour", "the hour"),
    ("dayOfMonth", "the day of the month"),
    ("month", "the month"),
    ("dayOfWeek", "the day of the week"),
    ("scheduleTime", "the time"),
    ("storagegroupID", "the storage group"),
    ("isMaster", "the master"),
];

/// A sentence of the server with the words of people, and the options for the fields that it names.
fn in_words(said: &str) -> String {
    let named = SET_BY.iter().filter(|(field, _)| said.contains(field));
    let options: Vec<String> = named
        .map(|(field, command)| format!("{field} is set by `{command}`"))
        .collect();
    let called = said.split_once(": ").and_then(|(field, rest)| {
        let (_, words) = CALLED.iter().find(|(known, _)| *known == field)?;
        let colon = if rest.starts_with('"') && !rest.contains("\": ") {
            " "
        } else {
            ": "
        };
        Some(format!("{words}{colon}{rest}"))
    });
    let text = called.unwrap_or_else(|| said.to_owned());
    if options.is_empty() {
        text
    } else {
        format!("{text} ({})", options.join(", "))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        if let ApiError::Unreachable { server, source } = &error
            && let Some(trouble) = trouble::of(source)
        {
            return Self::new(Exit::Failed, format!("could not use {server}: {trouble}"))
                .advise(trouble.advice());
        }
        let (exit, todo) = (exit_of(&error), todo(&error));
        let failure = match error {
            ApiError::Forbidden(said)
            | ApiError::NotFound(said)
            | ApiError::Conflict(said)
            | ApiError::Invalid(said)
            | ApiError::Refused(said)
            | ApiError::Server { said, .. } => {
                Self::new(exit, format!("could not {}", said.action)).caused_by(said.message)
            }
            ApiError::Authority(_)
            | ApiError::Unreachable { .. }
            | ApiError::Credentials { .. }
            | ApiError::Rehearsed { .. }
            | ApiError::Answer { .. } => {
                let failure = Self::new(exit, error.to_string());
                match error {
                    ApiError::Authority(source) | ApiError::Unreachable { source, .. } => {
                        failure.caused_by(source)
                    }
                    ApiError::Answer { source } => failure.caused_by(source),
                    _ => failure,
                }
            }
        };
        match todo {
            Some(todo) => failure.advise(todo),
            None => failure,
        }
    }
}

fn exit_of(error: &ApiError) -> Exit {
    match error {
        ApiError::Authority(_) | ApiError::Invalid(_) => Exit::Usage,
        ApiError::Credentials { .. } | ApiError::Forbidden(_) | ApiError::Refused(_) => {
            Exit::Refused
        }
        ApiError::Rehearsed { .. } => Exit::Ok,
        ApiError::NotFound(_) => Exit::NotFound,
        ApiError::Conflict(_) => Exit::Conflict,
        ApiError::Unreachable { .. } | ApiError::Server { .. } | ApiError::Answer { .. } => {
            Exit::Failed
        }
    }
}

/// What fits whatever the command was; commands that know more say more.
fn todo(error: &ApiError) -> Option<String> {
    let text = match error {
        ApiError::Authority(_) => "log in again with --ca FILE or --ca-fingerprint SHA",
        ApiError::Unreachable { source, .. } if is_distrust(source) => {
            "the certificate of the server was not accepted: run `foghorn login --ca-fingerprint` with the fingerprint that `foghorn serve` prints when it starts, or --ca FILE"
        }
        ApiError::Unreachable { .. } => {
            "check the address and that the server is running; `foghorn doctor` shows more"
        }
        ApiError::Credentials { token, .. } => return Some(for_token(*token)),
        ApiError::Forbidden(said) => return for_forbidden(&said.message),
        ApiError::NotFound(said) => return listed(said.command),
        ApiError::Conflict(said) => return for_conflict(said),
        ApiError::Invalid(_) | ApiError::Refused(_) | ApiError::Rehearsed { .. } => return None,
        ApiError::Server { status: 503, said } if said.message.contains("could not store") => {
            "nothing was changed; `foghorn doctor` shows the place of the store and its room"
        }
        ApiError::Server { status: 503, .. } => {
            "try again in a moment; if this persists, `foghorn doctor` shows what is wrong"
        }
        ApiError::Server {
            status: 502 | 504, ..
        } => "check that the server behind the proxy is running",
        ApiError::Server { .. } => "see the log of the server",
        ApiError::Answer { .. } => "this program and the server may have different versions",
    };
    Some(text.to_owned())
}

fn for_token(token: Token) -> String {
    match token {
        Token::Api => "the API token is not this server's: copy it again and run `foghorn login`; if it is lost, `foghorn serve --state-dir DIR --reset-admin` on the server makes new ones",
        Token::User => "the API token is right; the user token is not one of this server's, or its user may not use the API: copy it again and run `foghorn login`, or have an administrator run `foghorn user token-reset USER`",
    }
    .to_owned()
}

fn for_forbidden(message: &str) -> Option<String> {
    let text = if message.contains("needs the role") {
        "ask an administrator, who gives roles with `foghorn user edit USER --role ROLE`"
    } else if message.contains("turned off") {
        "an administrator turns it on with `foghorn api on`"
    } else if message.contains("log-in") {
        "wait some minutes, and check the tokens before you try again"
    } else {
        return None;
    };
    Some(text.to_owned())
}

fn listed(command: &str) -> Option<String> {
    let has_list = !matches!(command, "");
    has_list.then(|| format!("`foghorn {command} list` shows the existing ones"))
}

fn for_conflict(said: &Said) -> Option<String> {
    let lower = said.message.to_lowercase();
    if lower.contains("belongs to") || lower.contains("already created") {
        let list = listed(said.command).map_or_else(String::new, |list| format!("; {list}"));
        return Some(format!("choose another one{list}"));
    }
    if lower.contains("active task") || lower.contains("in use by task") {
        return Some(
            "wait until that task has ended, or cancel it; `foghorn task list --active` shows it"
                .to_owned(),
        );
    }
    None
}

/// Whether the connection failed because of the server's certificate. Errors of the handshake are
/// reported as I/O errors.
pub(super) fn is_distrust(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        ureq::Error::Io(error) => error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(action: &str) -> Said {
        Said {
            action: action.to_owned(),
            message: String::new(),
            command: "host",
        }
    }

    fn failure(status: u16, said: Option<&str>, problem: Option<&str>) -> Failure {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let error = classify(
            status,
            owned(said),
            owned(problem),
            what("create the host"),
            "https://fog",
        );
        Failure::from(error)
    }

    #[test]
    fn every_answer_has_its_exit_code() {
        for (status, said, problem, exit) in [
            (401, None, None, Exit::Refused),
            (403, None, None, Exit::Refused),
            (
                403,
                Some("this needs the role operator, and anna has read-only"),
                None,
                Exit::Refused,
            ),
            (429, Some("too many failed log-ins"), None, Exit::Refused),
            (302, None, None, Exit::Refused),
            (404, None, None, Exit::NotFound),
            (404, None, Some("host 7 does not exist"), Exit::NotFound),
            (404, None, Some("macs: no address"), Exit::Usage),
            (
                404,
                None,
                Some("an equal snapinassociation exists already: 3"),
                Exit::Conflict,
            ),
            (409, Some("no active task"), None, Exit::Conflict),
            (409, Some("image 3 is protected"), None, Exit::Refused),
            (412, Some("host 7 has changed"), None, Exit::Conflict),
            (
                417,
                Some("Required database field is empty"),
                Some("macs is required"),
                Exit::Usage,
            ),
            (500, Some("Already created"), None, Exit::Conflict),
            (
                500,
                Some("Host is already a member of an active task"),
                None,
                Exit::Conflict,
            ),
            (500, Some("dayOfWeek: \"9\": no day"), None, Exit::Usage),
            (500, Some("Image is not valid"), None, Exit::Refused),
            (501, Some("Invalid tasking type passed"), None, Exit::Usage),
            (500, None, None, Exit::Failed),
            (503, None, None, Exit::Failed),
            (503, Some("could not store the change"), None, Exit::Failed),
        ] {
            let found = failure(status, said, problem);
            assert_eq!(found.exit(), exit, "{status} {said:?} {problem:?}: {found}");
        }
    }

    #[test]
    fn the_explanation_is_shown_with_what_was_asked_for() {
        let taken = failure(
            500,
            Some("Already created"),
            Some("name: \"pc1\" belongs to host pc1 (1) already"),
        );
        assert_eq!(
            taken.to_string(),
            "could not create the host\n  because: the name \"pc1\" belongs to host pc1 (1) \
             already\n  to do: choose another one; `foghorn host list` shows the existing ones"
        );
        let silent = failure(500, None, None).to_string();
        assert!(silent.contains("the server failed"), "{silent}");
        assert!(!silent.contains("no reason was given"), "{silent}");
    }

    #[test]
    fn a_wrong_token_is_named() {
        let api = failure(403, None, None).to_string();
        assert!(api.contains("did not accept the API token"), "{api}");
        let user = failure(401, None, None).to_string();
        assert!(user.contains("did not accept the user token"), "{user}");
    }

    #[test]
    fn a_full_disk_is_not_a_matter_of_trying_again() {
        let full = failure(
            503,
            Some("could not store the change: the file system is full: make room"),
            None,
        )
        .to_string();
        assert!(full.contains("foghorn doctor") && !full.contains("try again"));
    }

    #[test]
    fn fields_of_the_api_come_with_the_options_that_set_them() {
        assert_eq!(in_words("no"), "no");
        let said = in_words("set imageTypeID to 1");
        assert!(said.contains("--all-disks or --raw") && !said.contains("--part"));
        assert_eq!(
            in_words("dayOfWeek: \"9\": no such day"),
            "the day of the week: \"9\": no such day"
        );
    }
}
