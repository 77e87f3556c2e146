//! Who calls with a factory token, in either of the headers that programs for a FoundriesFactory send.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use foghorn_types::Timestamp;

use super::auth::forms;
use crate::app::devices::tokens::{self, Caller, TokenError};
use crate::ctx::Ctx;
use crate::state::Tables;

/// Why nobody is let in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TurnedAway {
    #[error(
        "a factory token is required, in the header OSF-TOKEN or as Authorization: Bearer; `foghorn factory-token create` makes one"
    )]
    Missing,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("too many wrong tokens, try again later")]
    TooMany {
        /// Time after which another attempt is accepted.
        wait: Duration,
    },
}

/// Who has sent the token of these headers from this address. A token that is good is never delayed.
pub(super) fn authenticate(
    ctx: &Ctx,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Caller, TurnedAway> {
    let sent = sent(headers);
    if sent.is_empty() {
        return Err(TurnedAway::Missing);
    }
    let now = Timestamp::now();
    let error = match ctx.state.read(|tables| check(tables, &sent, now)) {
        Ok(caller) => return Ok(caller),
        Err(error) => error,
    };
    // Only who does not know one may be guessing.
    if error == TokenError::Unknown {
        if let Some(wait) = ctx.doors.wait_of_address(from) {
            return Err(TurnedAway::TooMany { wait });
        }
        ctx.doors.failed_from(from);
    }
    Err(error.into())
}

/// Every reading of both headers. What follows `Bearer` is in base64, or the token itself.
fn sent(headers: &HeaderMap) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let both = [text("osf-token"), bearer];
    both.into_iter().flatten().flat_map(forms).collect()
}

/// The first reading that is a good token counts; else one that tells more than that it is unknown.
fn check(tables: &Tables, sent: &[String], now: Timestamp) -> Result<Caller, TokenError> {
    let mut found = TokenError::Unknown;
    for token in sent {
        match tokens::check(tables, token, now) {
            Ok(caller) => return Ok(caller),
            Err(TokenError::Unknown) => {}
            Err(error) => found = error,
        }
    }
    Err(found)
}

/// Whom [`super::access`] has let in.
pub(super) struct By(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.map(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    #[test]
    fn both_headers_are_read_in_each_form() {
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            sent(&headers)
        };
        let encoded = BASE64.encode(b"secret-1");
        for found in [
            read("osf-token", "secret-1"),
            read("authorization", "Bearer secret-1"),
            read("authorization", &format!("Bearer {encoded}")),
            read("authorization", &format!("bearer  {encoded} ")),
        ] {
            assert!(found.contains(&"secret-1".to_owned()), "{found:?}");
        }
        for (name, value) in [
            ("osf-token", " "),
            ("authorization", "Bearer "),
            ("authorization", "secret-1"),
            ("authorization", "Basic c2VjcmV0LTE="),
        ] {
            assert!(read(name, value).is_empty(), "{name}: {value}");
        }
    }
}
