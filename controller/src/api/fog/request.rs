//! A request that has been let in: who sent it, and its body, bounded.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answer;
use crate::api::auth::{AuthError, Principal};
use crate::state::Refusal;
use crate::state::class::Body;

/// A larger body is refused.
const MOST_BYTES: usize = 1 << 20;

pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) caller: Principal,
    pub(super) headers: HeaderMap,
    /// Where it came from; this machine when the router was called without a socket.
    pub(super) from: IpAddr,
    uri: Uri,
    body: Bytes,
}

/// Why a request got no further than the door.
pub(super) enum NotLetIn {
    Auth(AuthError),
    TooLarge,
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
            Self::TooLarge => {
                answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body may have up to {MOST_BYTES} bytes"))
            }
        }
    }
}

impl Incoming {
    /// Reads the body of a request whose caller has been let in ([`crate::api::access`]).
    pub(super) async fn read(request: Request) -> Result<Self, NotLetIn> {
        let (mut parts, body) = request.into_parts();
        let caller = parts.extensions.remove::<Principal>().ok_or(AuthError::User)?;
        let body = to_bytes(body, MOST_BYTES).await.map_err(|_| NotLetIn::TooLarge)?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(peer)| peer.ip().to_canonical());
        Ok(Self { method: parts.method, caller, headers: parts.headers, from, uri: parts.uri, body })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The body as an object: empty when there is none or when it is another JSON value.
    ///
    /// Broken JSON is refused with the place where it breaks. A FOG server takes it for no body at all and may then act on
    /// everything; we never do.
    pub(super) fn json(&self) -> Result<Body, Refusal> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Body::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(body)) => Ok(body),
            Ok(_) => Ok(Body::new()),
            Err(error) => Err(Refusal::BrokenJson { line: error.line(), column: error.column() }),
        }
    }

    /// Secrets are shown to administrators who ask for them with `foghorn-secrets: show`.
    pub(super) fn wants_secrets(&self) -> bool {
        self.caller.is_administrator() && self.headers.get("foghorn-secrets").is_some_and(|value| value == "show")
    }
}
