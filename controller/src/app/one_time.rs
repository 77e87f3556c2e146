//! One-time tokens: creation, lookup, redemption.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use foghorn_proto::http::{ParseTokenError, TokenText};
use foghorn_types::{MacAddress, Timestamp};

use crate::ctx::Ctx;
use crate::state::Draft;
use crate::state::enrolment::{Answered, OneTimeToken};
use crate::state::shelf::Record as _;
use crate::trust::Trust;

/// Why a token is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    #[error(transparent)]
    Form(#[from] ParseTokenError),
    #[error("the token belongs to another certificate authority")]
    OtherAuthority,
    #[error("the token is unknown")]
    Unknown,
    #[error("the token has already been used")]
    Used,
    #[error("the token has expired")]
    Expired,
    #[error("no host has the MAC address {mac}")]
    NoHost { mac: MacAddress },
    #[error(
        "the token is for other hosts, not for {host}, or {host} used it more than an hour ago"
    )]
    OtherHosts { host: String },
}

/// 256 random bits as text.
pub(crate) fn secret() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("a system without random numbers cannot run TLS either");
    BASE64URL_NOPAD.encode(&bytes)
}

/// A random number, not 0.
pub(crate) fn number() -> u64 {
    let random = getrandom::u64();
    random
        .expect("a system without random numbers cannot run TLS either")
        .max(1)
}

/// The whole text of a token.
pub(crate) fn text(trust: &Trust, prefix: &'static str, secret: String) -> String {
    TokenText {
        secret,
        ca_fingerprint: trust.ca_fingerprint().to_owned(),
    }
    .to_text(prefix)
}

/// The secret in the text of a token.
pub(crate) fn secret_of(prefix: &'static str, text: &str) -> Result<String, ParseTokenError> {
    Ok(TokenText::parse(prefix, text)?.secret)
}

/// Time within which the holder of the same key is answered again, because the first answer may
/// have been lost: as long as a client tries to reach a controller.
pub(super) const REPEAT_WITHIN: Duration = Duration::from_secs(300);

/// The stored token with this text, if it is valid now. Only [`spend`] ensures that it is used
/// once. `key` is the key for which it is used, where the same key may use it again for a short
/// time.
pub(crate) fn find(
    ctx: &Ctx,
    prefix: &'static str,
    text: &str,
    key: Option<&str>,
) -> Result<Arc<OneTimeToken>, TokenError> {
    let parsed = TokenText::parse(prefix, text)?;
    if parsed.ca_fingerprint != ctx.trust.ca_fingerprint() {
        return Err(TokenError::OtherAuthority);
    }
    let token = ctx
        .state
        .read(|tables| tables.tokens().find(&parsed.secret).cloned())
        .ok_or(TokenError::Unknown)?;
    check(&token, Timestamp::now(), key)?;
    Ok(token)
}

/// Makes the draft redeem the token. Of two drafts that redeem one token, the store accepts one;
/// the other is built again and finds the token used, whoever uses it.
pub(crate) fn spend(
    draft: &mut Draft<'_>,
    token: &OneTimeToken,
    now: Timestamp,
    by: Option<(&str, &Answered)>,
) -> Result<(), TokenError> {
    let current = draft
        .tables()
        .tokens()
        .get(&token.id())
        .ok_or(TokenError::Unknown)?;
    check(current, now, None)?;
    draft.replace(&OneTimeToken {
        used: Some(now),
        used_by: by.map(|(key, _)| key.to_owned()),
        answer: by.map(|(_, answer)| answer.clone()),
        ..OneTimeToken::clone(current)
    });
    Ok(())
}

pub(super) fn check(
    token: &OneTimeToken,
    now: Timestamp,
    key: Option<&str>,
) -> Result<(), TokenError> {
    if let Some(used) = token.used {
        let again =
            key.is_some() && token.used_by.as_deref() == key && now.since(used) <= REPEAT_WITHIN;
        return if again { Ok(()) } else { Err(TokenError::Used) };
    }
    if token.expires <= now {
        Err(TokenError::Expired)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::{HostId, TaskId};

    use super::*;
    use crate::state::enrolment::Purpose;

    #[test]
    fn a_used_token_is_good_for_its_key_and_for_a_few_minutes_only() {
        let purpose = Purpose::Boot {
            host: HostId::new(1).unwrap(),
            task: TaskId::new(1).unwrap(),
        };
        let start = Timestamp::from_millis(1_000_000);
        let fresh = OneTimeToken::new("secret", purpose, start + Duration::from_secs(10));
        let used = OneTimeToken {
            used: Some(start),
            used_by: Some("mine".to_owned()),
            ..fresh.clone()
        };
        assert_eq!(check(&fresh, start, Some("mine")), Ok(()));
        assert_eq!(
            check(&fresh, start + Duration::from_secs(10), Some("mine")),
            Err(TokenError::Expired)
        );
        assert_eq!(check(&used, start + REPEAT_WITHIN, Some("mine")), Ok(()));
        for (later, key) in [(301, Some("mine")), (1, Some("other")), (1, None)] {
            assert_eq!(
                check(&used, start + Duration::from_secs(later), key),
                Err(TokenError::Used)
            );
        }
        let by_nobody = OneTimeToken {
            used_by: None,
            ..used
        };
        assert_eq!(
            check(&by_nobody, start, None),
            Err(TokenError::Used),
            "a join token is good once"
        );
    }
}
