//! `dry_run=true` in the query of a request that would change something.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use foghorn_proto::http::Problem;
use schemars::JsonSchema;
use serde::Serialize;

use crate::state::Refusal;
use crate::state::rehearsal::rehearse;

/// On every answer to a request that only rehearsed.
const DRY_RUN: HeaderName = HeaderName::from_static("foghorn-dry-run");
const NAME: &str = "dry_run";

/// Whether the request is only to be rehearsed. A request that changes nothing anyway has no such
/// parameter.
pub(super) fn is_wanted(method: &Method, uri: &Uri) -> Result<bool, Refusal> {
    if method.is_safe() {
        return Ok(false);
    }
    let query = uri.query().unwrap_or_default();
    let mut wanted = false;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == NAME {
            wanted = match value {
                "true" | "1" => true,
                "false" | "0" => false,
                other => {
                    let why = format!("expected true or false, found {other:?}");
                    return Err(Refusal::Parameter { name: NAME, why });
                }
            };
        }
    }
    Ok(wanted)
}

/// The answer when everything was found right and the handler has no better one.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Rehearsed {
    /// Everything was found right, and nothing was stored.
    #[schemars(extend("const" = true))]
    dry_run: bool,
}

/// See [`Rehearsed`].
pub(super) fn answer() -> Response {
    marked(Json(Rehearsed { dry_run: true }).into_response())
}

fn marked(mut response: Response) -> Response {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(DRY_RUN, yes);
    response
}

fn refused(why: &str) -> Response {
    let problem = Problem {
        error: why.to_owned(),
        field: Some(NAME.to_owned()),
    };
    (StatusCode::BAD_REQUEST, Json(problem)).into_response()
}

/// Around a handler that may be rehearsed.
pub(super) async fn may_rehearse(request: Request, next: Next) -> Response {
    match is_wanted(request.method(), request.uri()) {
        Ok(false) => next.run(request).await,
        Ok(true) => {
            let response = rehearse(next.run(request)).await;
            match response.status() {
                // What the handler says of what it would do.
                status if status.is_success() => marked(response),
                _ => response,
            }
        }
        Err(why) => refused(&why.to_string()),
    }
}

/// Around a handler that may not: whoever wants a dry run does not get the real one.
pub(super) async fn never_rehearse(request: Request, next: Next) -> Response {
    match is_wanted(request.method(), request.uri()) {
        Ok(false) => next.run(request).await,
        Ok(true) => refused("there is no dry run of this; nothing was done"),
        Err(why) => refused(&why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_word_is_a_dry_run_and_others_are_refused() {
        let ask = |method: Method, uri: &str| is_wanted(&method, &uri.parse().unwrap());
        assert!(ask(Method::POST, "/x?dry_run=true").unwrap());
        assert!(ask(Method::DELETE, "/x?a=b&dry_run=1").unwrap());
        assert!(!ask(Method::PUT, "/x?dry_run=false").unwrap());
        assert!(!ask(Method::PUT, "/x").unwrap());
        assert!(!ask(Method::GET, "/x?dry_run=true").unwrap());
        for vague in ["/x?dry_run", "/x?dry_run=yes", "/x?dry_run=TRUE"] {
            assert!(ask(Method::POST, vague).is_err(), "{vague}");
        }
    }
}
