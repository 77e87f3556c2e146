//! Why a check-in did not succeed, and what people can do about it.

use foghorn_reach::{Trouble, trouble};
use foghorn_transport::IdentityError;
use foghorn_types::{MacAddress, is_mistyped};

#[derive(Debug, thiserror::Error)]
pub enum CheckInError {
    #[error("{0} is not the address of a controller: expected https://HOST[:PORT]")]
    Url(String),
    #[error("{0} is not a loopback address: plain http is refused, use https")]
    PlainHttp(String),
    #[error("could not reach the controller at {}", base_of(url))]
    Send {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("the controller at {base} cannot be used: {trouble}")]
    Unusable { base: String, trouble: Trouble },
    #[error("{url} sent no certificate authority")]
    NoAuthority { url: String },
    #[error(
        "the certificate authority of {url} is {found}, but the token names {expected}{}",
        other_authority(expected, found)
    )]
    OtherAuthority {
        url: String,
        expected: String,
        found: String,
    },
    #[error("could not make a key")]
    MakeKey(#[source] rcgen::Error),
    #[error(
        "the code is wrong for the machine with the MAC address {mac}, or somebody intercepts the connection to {url}: type the newest code again"
    )]
    WrongCode { url: String, mac: MacAddress },
    #[error("the controller did not take the code: {reason}")]
    Code { reason: String },
    #[error("the controller refused ({status}): {reason}")]
    Refused { status: u16, reason: String },
    #[error("the controller failed ({status}): {reason}")]
    Failed { status: u16, reason: String },
    #[error("the controller has no task for this machine: {reason}")]
    NoTask { reason: String },
    #[error(
        "the task of this machine is a {task}, on which {options} would have no effect: start the client without, or order a {wanted} (nothing was read or written, and the task still waits)"
    )]
    OtherTask {
        /// As they were given.
        options: String,
        task: &'static str,
        wanted: &'static str,
    },
    #[error("the certificate from the controller cannot be used")]
    Identity(#[from] IdentityError),
    #[error("stopped while waiting for the controller")]
    Stopped,
}

/// What a difference between two fingerprints means.
fn other_authority(expected: &str, found: &str) -> &'static str {
    if is_mistyped(expected, found) {
        ", which is nearly the same: the token was mistyped"
    } else {
        ": the token is of another controller, or somebody intercepts the connection"
    }
}

impl CheckInError {
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::Failed {
                    status: 429 | 500..,
                    ..
                }
        )
    }

    /// Says in words what will not pass by itself.
    pub(super) fn in_words(self) -> Self {
        match self {
            Self::Send { url, source } => match trouble_of(&source) {
                Some(trouble) => Self::Unusable {
                    base: base_of(&url),
                    trouble,
                },
                None => Self::Send { url, source },
            },
            other => other,
        }
    }

    /// What people at the machine can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Unusable { trouble, .. } => return Some(trouble.advice()),
            Self::Url(_) | Self::PlainHttp(_) => {
                "give the address of the server as `foghorn serve` prints it"
            }
            Self::Send { .. } => {
                "check the network of this machine, the address of the controller, and that it is running"
            }
            Self::OtherAuthority {
                expected, found, ..
            } if is_mistyped(expected, found) => "copy the boot token again, the whole of it",
            Self::OtherAuthority { .. } => {
                "check that the token and the address were made by the same server; `foghorn host boot-token HOST` makes a new token"
            }
            Self::Refused { reason, .. } if reason.contains("token") => {
                "make a new token on the server: foghorn host boot-token HOST"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn trouble_of(error: &ureq::Error) -> Option<Trouble> {
    match error {
        ureq::Error::Io(error) => trouble(error),
        ureq::Error::Rustls(error) => trouble(error),
        ureq::Error::HostNotFound => Some(Trouble::UnknownName),
        _ => None,
    }
}

/// Scheme, host and port of a URL.
fn base_of(url: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    url[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_token_is_copied_again_and_another_authority_is_looked_into() {
        let found = "a".repeat(64);
        let other = |expected: String| CheckInError::OtherAuthority {
            url: "https://10.23.0.1".to_owned(),
            expected,
            found: found.clone(),
        };
        let mistyped = other(format!("b{}", &found[1..]));
        assert!(mistyped.advice().unwrap().contains("copy the boot token"));
        let foreign = other("c".repeat(64));
        assert!(foreign.advice().unwrap().contains("by the same server"));
    }
}
