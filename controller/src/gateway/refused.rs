//! Refusals in the words and the shape of the dialect.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use foghorn_types::chain;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::warn;

use crate::shares::Full;
use crate::state::Refusal;

/// Seconds after which a request may be sent again that could not be served now.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("5");

/// What is answered instead of what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    message: String,
    /// Why, by field.
    errors: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Body {
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    errors: Map<String, Value>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: Vec::new(),
        }
    }

    /// Status, message, and why, by field: for whoever answers in a form of its own.
    pub(crate) fn into_parts(self) -> (StatusCode, String, Vec<(String, String)>) {
        (self.status, self.message, self.errors)
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// About one field of the body.
    pub(super) fn field(field: &str, why: impl Into<String>) -> Self {
        let mut refused = Self::bad("the body is not valid");
        refused.errors.push((field.to_owned(), why.into()));
        refused
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// Our own failure. The caller learns that it was ours, the log learns what it was.
    pub(super) fn ours(error: &(dyn std::error::Error + 'static)) -> Self {
        warn!(error = %chain(error), "a request of the FoundriesFactory dialect failed");
        let message = "the controller could not do it; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(super) fn busy(full: Full) -> Self {
        match full {
            Full::One => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "the requests of this device that are under way take too much memory: read their answers, then try again",
            ),
            Full::All => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the requests that are under way take too much memory: try again",
            ),
        }
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "devices can ask for nothing here")
    }

    pub(super) fn no_method() -> Self {
        let message = "this can be asked for, but not with this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            later if later.may_succeed_later() => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Store(_) => return Self::ours(&refusal),
            Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
            Refusal::Taken { .. } | Refusal::InUse { .. } | Refusal::Protected { .. } => {
                StatusCode::CONFLICT
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refusal.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let errors = self.errors.into_iter();
        let body = Body {
            message: self.message,
            errors: errors.map(|(field, why)| (field, why.into())).collect(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let later = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        if later.contains(&self.status) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, TRY_AGAIN);
        }
        response
    }
}

/// The body of a request, if it was read to its end.
pub(super) fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refused> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::too_large("the body is too large"),
        status => Refused::new(status, "the body could not be read"),
    })
}

/// A body that is JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused::bad(format!("the body is not the JSON that is needed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_has_the_shape_of_the_dialect() {
        let read = async |refused: Refused| {
            let response = refused.into_response();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
            let value: Value = serde_json::from_slice(&body).unwrap();
            (parts, value)
        };
        let (parts, body) = read(Refused::field("mac", "not one")).await;
        assert_eq!(parts.status, 400);
        assert_eq!(
            body,
            serde_json::json!({"message": "the body is not valid", "errors": {"mac": "not one"}})
        );
        let (parts, body) = read(Refusal::Contended.into()).await;
        assert_eq!(parts.status, 503);
        assert!(parts.headers.contains_key(header::RETRY_AFTER));
        assert!(body.get("errors").is_none());
        let taken = Refusal::Taken {
            class: "host",
            field: "name",
            value: "pc".to_owned(),
            owner: 1,
        };
        assert_eq!(read(taken.into()).await.0.status, 409);
    }
}
