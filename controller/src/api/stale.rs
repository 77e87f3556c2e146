//! Says of an answer that it may be old: while the state store does not answer, reads go on from the
//! tables in memory. While a state is being imported there is nothing to read.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::Problem;

use crate::ctx::Ctx;
use crate::state::imports::REFUSED;

/// Seconds since the tables were last known to be those of the store.
const STALE: HeaderName = HeaderName::from_static("foghorn-stale");

/// Adds the header to what was read.
pub(super) async fn say(State(ctx): State<Arc<Ctx>>, request: Request, next: Next) -> Response {
    let is_for_machines = ["/healthz", "/metrics"].contains(&request.uri().path());
    if !is_for_machines && ctx.state.is_replaced() {
        let error = format!("the state cannot be used: {REFUSED}");
        let problem = Problem { error, field: None };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response();
    }
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let mut response = next.run(request).await;
    if is_read && let Some(stale) = ctx.state.stale_for() {
        let seconds = HeaderValue::from(stale.as_secs());
        response.headers_mut().insert(STALE, seconds);
    }
    response
}
