//! One-time tokens: made, found, spent.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use foghorn_proto::http::{ParseTokenError, TokenText};
use foghorn_types::Timestamp;

use crate::api::Ctx;
use crate::state::Draft;
use crate::state::enrolment::OneTimeToken;
use crate::trust::Trust;

/// Why a token is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    #[error(transparent)]
    Form(#[from] ParseTokenError),
    #[error("the token is of another certificate authority")]
    OtherAuthority,
    #[error("the token is not known here")]
    Unknown,
    #[error("the token has been used already")]
    Used,
    #[error("the token has expired")]
    Expired,
}

/// 256 random bits as text.
pub(crate) fn secret() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("a system without random numbers cannot run TLS either");
    BASE64URL_NOPAD.encode(&bytes)
}

/// The whole text of a token.
pub(crate) fn text(trust: &Trust, prefix: &'static str, secret: String) -> String {
    TokenText { secret, ca_fingerprint: trust.ca_fingerprint().to_owned() }.to_text(prefix)
}

/// The stored token with this text, if it is good at this moment. Only [`spend`] makes sure that it is good once.
pub(crate) fn find(ctx: &Ctx, prefix: &'static str, text: &str) -> Result<Arc<OneTimeToken>, TokenError> {
    let parsed = TokenText::parse(prefix, text)?;
    if parsed.ca_fingerprint != ctx.trust.ca_fingerprint() {
        return Err(TokenError::OtherAuthority);
    }
    let token = ctx.state.read(|tables| tables.tokens.find(&parsed.secret).cloned()).ok_or(TokenError::Unknown)?;
    check(&token, Timestamp::now())?;
    Ok(token)
}

/// Makes the draft use the token up. Of two drafts that spend one token, the store takes one.
pub(crate) fn spend(draft: &mut Draft<'_>, token: &OneTimeToken, now: Timestamp) -> Result<(), TokenError> {
    let current = draft.tables().tokens.by_hash(&token.hash).ok_or(TokenError::Unknown)?;
    check(current, now)?;
    draft.require(current.unchanged());
    draft.operate(OneTimeToken { used: Some(now), ..OneTimeToken::clone(current) }.put_op());
    Ok(())
}

fn check(token: &OneTimeToken, now: Timestamp) -> Result<(), TokenError> {
    if token.used.is_some() {
        return Err(TokenError::Used);
    }
    if token.expires <= now { Err(TokenError::Expired) } else { Ok(()) }
}
