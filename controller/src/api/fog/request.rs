//! A request that has been let in: who sent it, and its body, bounded.

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answer;
use crate::api::auth::{Principal, authenticate};
use crate::state::State;
use crate::state::class::Body;

/// A larger body is refused.
const MOST_BYTES: usize = 1 << 20;

pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) caller: Principal,
    pub(super) headers: HeaderMap,
    uri: Uri,
    body: Bytes,
}

impl Incoming {
    /// Authenticates, then reads the body. The error is the answer.
    pub(super) async fn read(state: &State, request: Request) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let caller = authenticate(state, &parts.headers).await.map_err(IntoResponse::into_response)?;
        let body = to_bytes(body, MOST_BYTES)
            .await
            .map_err(|_| answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body may have up to {MOST_BYTES} bytes")))?;
        Ok(Self { method: parts.method, caller, headers: parts.headers, uri: parts.uri, body })
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The body as an object: empty when there is none or when it is another JSON value.
    ///
    /// The error is the answer: 400 with the place where the JSON breaks. A FOG server takes broken JSON for no body at all
    /// and may then act on everything; we never do.
    pub(super) fn json(&self) -> Result<Body, Response> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Body::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(body)) => Ok(body),
            Ok(_) => Ok(Body::new()),
            Err(error) => {
                let text = format!("the body is not JSON: line {}, column {}", error.line(), error.column());
                Err(answer::problem(StatusCode::BAD_REQUEST, &text))
            }
        }
    }

    /// Secrets are shown to administrators who ask for them with `foghorn-secrets: show`.
    pub(super) fn wants_secrets(&self) -> bool {
        self.caller.administrator && self.headers.get("foghorn-secrets").is_some_and(|value| value == "show")
    }
}
