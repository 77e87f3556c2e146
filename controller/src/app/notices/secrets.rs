//! What of a target is secret, and how it is made.

use data_encoding::BASE64;

use crate::state::notify::Sealed;
use crate::trust::{SealError, Trust};

/// What the secret of a webhook begins with.
const PREFIX: &str = "whsec_";
const URL: &str = "notification url";
const SIGNING: &str = "notification signing secret";
const PUSH_URL: &str = "event queue url";
const PASSWORD: &str = "notification mail password";

/// A kind of secret; one is not read as another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Url,
    /// Where an event queue sends its messages.
    PushUrl,
    Signing,
    Password,
}

impl What {
    fn label(self) -> &'static str {
        match self {
            Self::Url => URL,
            Self::PushUrl => PUSH_URL,
            Self::Signing => SIGNING,
            Self::Password => PASSWORD,
        }
    }
}

/// # Errors
/// As [`Trust::seal`].
pub fn seal(trust: &Trust, what: What, secret: &str) -> Result<Sealed, SealError> {
    trust.seal(what.label(), secret).map(Sealed)
}

/// # Errors
/// As [`Trust::unseal`].
pub fn unseal(trust: &Trust, what: What, sealed: &Sealed) -> Result<String, SealError> {
    trust.unseal(what.label(), &sealed.0)
}

/// A new secret for signatures.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_signing() -> Result<String, SealError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(format!("{PREFIX}{}", BASE64.encode(&bytes)))
}

/// The bytes with which messages are signed; `None` when the text is no such secret.
#[must_use]
pub fn signing_key(secret: &str) -> Option<Vec<u8>> {
    let text = secret.strip_prefix(PREFIX)?;
    let key = BASE64.decode(text.as_bytes()).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}
