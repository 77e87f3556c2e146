//! Who registers a device: the token of an operator, in either form that the dialect knows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use foghorn_types::Timestamp;

use super::refused::Refused;
use crate::app::devices::tokens::{self, Caller, TokenError};
use crate::ctx::Ctx;
use crate::state::actor::{self, Actor};

/// Passes a request on with its [`Caller`] as an extension, or refuses it. The body has not been read.
pub(super) async fn admit(
    State(ctx): State<Arc<Ctx>>,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let connection = connection.map(|connection| connection.0.ip());
    let from = ctx.doors.address_of(connection, request.headers());
    match caller(&ctx, request.headers(), from) {
        Ok(caller) => {
            let actor = Actor {
                user: caller.user,
                name: caller.name.clone(),
                from,
                method: request.method().to_string(),
                path: request.uri().path().to_owned(),
                request: String::new(),
                idempotency_key: None,
            };
            request.extensions_mut().insert(caller);
            actor::on_behalf(actor, next.run(request)).await
        }
        Err(refused) => refused.into_response(),
    }
}

fn caller(ctx: &Ctx, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Refused> {
    let sent = sent(headers);
    if sent.is_empty() {
        let message = "a token is needed, in the header OSF-TOKEN or Authorization";
        return Err(Refused::new(StatusCode::UNAUTHORIZED, message));
    }
    let now = Timestamp::now();
    let checked = ctx.state.read(|tables| {
        let mut checks = sent.iter().map(|text| tokens::check(tables, text, now));
        // Of the forms of one token, the one that is known counts.
        let known = checks.find(|checked| *checked != Err(TokenError::Unknown));
        known.unwrap_or(Err(TokenError::Unknown))
    });
    checked.map_err(|error| {
        if error == TokenError::Unknown {
            if ctx.doors.wait_of_address(from).is_some() {
                let message = "too many failed log-ins, try again later";
                return Refused::new(StatusCode::TOO_MANY_REQUESTS, message);
            }
            ctx.doors.failed_from(from);
        }
        Refused::new(StatusCode::UNAUTHORIZED, error.to_string())
    })
}

/// The token as it was sent, and decoded where it may be in base64.
fn sent(headers: &HeaderMap) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let Some(token) = text("osf-token").or(bearer).map(str::trim) else {
        return Vec::new();
    };
    let decoded = BASE64.decode(token.as_bytes()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let forms = std::iter::once(token.to_owned()).chain(decoded);
    forms.filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_in_both_forms() {
        let sent = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            sent(&headers)
        };
        assert_eq!(sent("osf-token", "secret!"), ["secret!"]);
        let encoded = format!("Bearer {}", BASE64.encode(b"secret!"));
        assert!(sent("authorization", &encoded).contains(&"secret!".to_owned()));
        assert_eq!(sent("authorization", "bearer secret!"), ["secret!"]);
        for (name, value) in [
            ("authorization", "Basic eDp5"),
            ("authorization", "Bearer "),
            ("osf-token", ""),
            ("other", "secret!"),
        ] {
            assert!(sent(name, value).is_empty(), "{name}: {value}");
        }
    }
}
