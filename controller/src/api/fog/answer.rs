//! FOG's answers: always `application/json`, often without a body, errors as `{"error": text}`.
//!
//! Where FOG answers an error without a word, the answer says what is wrong and with which field.
//! Where FOG has its own words, they stay, and the header `foghorn-problem` says the rest.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use foghorn_types::chain;
use tracing::error;

use crate::api::rehearsal;
use crate::state::Refusal;
use crate::state::json;

/// Carries the explanation of an error whose body is FOG's.
pub(super) const PROBLEM: HeaderName = HeaderName::from_static("foghorn-problem");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn with_status(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

pub(super) fn ok(body: impl Into<Body>) -> Response {
    with_status(StatusCode::OK, body)
}

pub(super) fn empty(status: StatusCode) -> Response {
    with_status(status, Body::empty())
}

pub(super) fn problem(status: StatusCode, text: &str) -> Response {
    let mut body = br#"{"error":"#.to_vec();
    json::string(&mut body, text);
    body.push(b'}');
    with_status(status, body)
}

/// An error that FOG has words for (or none, when `words` is empty), explained in the header.
fn explained(status: StatusCode, words: &str, why: &Refusal) -> Response {
    let mut response = if words.is_empty() {
        empty(status)
    } else {
        problem(status, words)
    };
    explain(&mut response, &why.to_string());
    response
}

/// Adds an explanation to an answer whose body is FOG's.
pub(super) fn explain(response: &mut Response, why: &str) {
    let text: String = why
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    if let Ok(text) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(PROBLEM, text);
    }
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    match refusal {
        Refusal::NotFound { .. } | Refusal::Unchanged { .. } | Refusal::Unusable { .. } => {
            explained(StatusCode::NOT_FOUND, "", refusal)
        }
        Refusal::Missing { .. } => explained(
            StatusCode::EXPECTATION_FAILED,
            "Required database field is empty",
            refusal,
        ),
        Refusal::Taken { field: "name", .. } => explained(internal, "Already created", refusal),
        Refusal::BrokenJson { .. } | Refusal::Parameter { .. } | Refusal::Selector { .. } => {
            problem(StatusCode::BAD_REQUEST, &refusal.to_string())
        }
        Refusal::TooLong { .. } => problem(StatusCode::PAYLOAD_TOO_LARGE, &refusal.to_string()),
        // What a FOG server does not refuse has no status there.
        Refusal::InUse { .. } | Refusal::Protected { .. } | Refusal::Ended { .. } => {
            problem(StatusCode::CONFLICT, &refusal.to_string())
        }
        Refusal::Task(why) if !why.is_of_fog() => {
            problem(StatusCode::CONFLICT, &refusal.to_string())
        }
        Refusal::Precondition { .. } => {
            problem(StatusCode::PRECONDITION_FAILED, &refusal.to_string())
        }
        Refusal::BadTaskType => problem(StatusCode::NOT_IMPLEMENTED, "Invalid tasking type passed"),
        Refusal::Taken { .. }
        | Refusal::Invalid { .. }
        | Refusal::Task(_)
        | Refusal::NothingToCancel(_) => problem(internal, &refusal.to_string()),
        Refusal::Rehearsed => rehearsal::answer(),
        Refusal::Contended | Refusal::Lagging | Refusal::Store(_) => {
            error!(error = %chain(refusal), "could not store a change");
            problem(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string())
        }
    }
}
