//! A request that has been let in: who sent it, and its body, bounded.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use serde_json::Value;

use super::answer;
use crate::api::access;
use crate::api::auth::{AuthError, Principal};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::class::Body as Object;

/// A larger body is refused.
const MOST_BYTES: usize = 1 << 20;
/// Longest list in a body, such as the hosts of a group: every step of a change looks at all of it.
const LONGEST_LIST: usize = 10_000;
/// What is shown of the name of a field.
const LONGEST_NAME: usize = 100;
/// A body must be complete within this time: who sends a byte now and then must not keep a
/// connection for ever.
const BODY_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) caller: Principal,
    pub(super) headers: HeaderMap,
    /// The address of the client.
    pub(super) from: IpAddr,
    uri: Uri,
    body: Bytes,
}

/// Why a request got no further than the door.
pub(super) enum NotLetIn {
    Auth(AuthError),
    TooLarge,
    /// It was cut off, or is not in the encoding that it is said to be in.
    Unreadable,
    TooSlow,
}

impl From<AuthError> for NotLetIn {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl IntoResponse for NotLetIn {
    fn into_response(self) -> Response {
        match self {
            Self::Auth(error) => error.into_response(),
            Self::TooLarge => answer::problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("the body must not exceed {MOST_BYTES} bytes"),
            ),
            Self::Unreadable => answer::problem(
                StatusCode::BAD_REQUEST,
                "the body was cut off, or is not in the encoding that Content-Encoding names",
            ),
            Self::TooSlow => answer::problem(
                StatusCode::REQUEST_TIMEOUT,
                &format!(
                    "the body did not arrive within {} seconds",
                    BODY_WITHIN.as_secs()
                ),
            ),
        }
    }
}

/// The refusal of a list, however deep, that is too long; it names the field that contains it.
fn too_long(body: &Object) -> Option<Refusal> {
    fn longest(value: &Value) -> usize {
        match value {
            Value::Array(items) => items
                .len()
                .max(items.iter().map(longest).max().unwrap_or(0)),
            Value::Object(members) => members.values().map(longest).max().unwrap_or(0),
            _ => 0,
        }
    }
    body.iter().find_map(|(field, value)| {
        let count = longest(value);
        (count > LONGEST_LIST).then(|| Refusal::TooLong {
            field: field.chars().take(LONGEST_NAME).collect(),
            count,
            most: LONGEST_LIST,
        })
    })
}

async fn read_body(body: Body, within: Duration) -> Result<Bytes, NotLetIn> {
    let reading = tokio::time::timeout(within, to_bytes(body, MOST_BYTES));
    reading
        .await
        .map_err(|_| NotLetIn::TooSlow)?
        .map_err(|error| {
            let too_large = std::error::Error::source(&error)
                .is_some_and(|cause| cause.is::<LengthLimitError>());
            if too_large {
                NotLetIn::TooLarge
            } else {
                NotLetIn::Unreadable
            }
        })
}

impl Incoming {
    /// Reads the body of a request whose caller has been let in ([`crate::api::access`]).
    pub(super) async fn read(ctx: &Ctx, request: Request) -> Result<Self, NotLetIn> {
        let from = access::address_of(ctx, &request);
        let (mut parts, body) = request.into_parts();
        let caller = parts
            .extensions
            .remove::<Principal>()
            .ok_or(AuthError::User)?;
        let body = read_body(body, BODY_WITHIN).await?;
        Ok(Self {
            method: parts.method,
            caller,
            headers: parts.headers,
            from,
            uri: parts.uri,
            body,
        })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// A hash of everything that makes it this request and no other.
    pub(super) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [
            self.method.as_str().as_bytes(),
            self.path().as_bytes(),
            &[u8::from(self.wants_secrets())],
        ] {
            hasher
                .update(&(part.len() as u64).to_le_bytes())
                .update(part);
        }
        hasher.update(&self.body).finalize().to_hex().to_string()
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The body as an object: empty when there is none or when it is another JSON value.
    ///
    /// Broken JSON is refused with the place where it breaks. A FOG server takes it for no body at
    /// all and may then act on everything; we never do.
    pub(super) fn json(&self) -> Result<Object, Refusal> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Object::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(body)) => match too_long(&body) {
                Some(refusal) => Err(refusal),
                None => Ok(body),
            },
            Ok(_) => Ok(Object::new()),
            Err(error) => Err(Refusal::BrokenJson {
                line: error.line(),
                column: error.column(),
            }),
        }
    }

    /// Secrets are shown to administrators who ask for them with `foghorn-secrets: show`.
    pub(super) fn wants_secrets(&self) -> bool {
        self.caller.is_administrator()
            && self
                .headers
                .get("foghorn-secrets")
                .is_some_and(|value| value == "show")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    fn body(chunks: impl IntoIterator<Item = &'static [u8]>) -> Body {
        let sent = stream::iter(
            chunks
                .into_iter()
                .map(Ok::<_, std::io::Error>)
                .collect::<Vec<_>>(),
        );
        Body::from_stream(sent.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let read = read_body(body([&b"{\"name\":"[..]]), Duration::from_millis(50)).await;
        assert!(matches!(read, Err(NotLetIn::TooSlow)));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_read_to_its_end() {
        static CHUNK: [u8; 65536] = [b' '; 65536];
        let read = read_body(body(std::iter::repeat_n(&CHUNK[..], 17)), BODY_WITHIN).await;
        assert!(matches!(read, Err(NotLetIn::TooLarge)));
        let cut = stream::iter([Ok(&b"{"[..]), Err(std::io::Error::other("gone"))]);
        assert!(matches!(
            read_body(Body::from_stream(cut), BODY_WITHIN).await,
            Err(NotLetIn::Unreadable)
        ));
    }
}
