//! A span, a count and a time limit for every request, of whatever dialect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::TRACEPARENT;
use tracing::{Instrument, debug, field, info_span};

/// Longer than the longest poll, shorter than anyone's patience.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Gigabytes over a slow line; a client that falls silent is noticed much earlier.
const FILE_WITHIN: Duration = Duration::from_secs(4 * 60 * 60);

static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// A method in a label of a metric. Labels are kept as long as the program runs, so a caller must not
/// be able to make them up.
fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let known = KNOWN.iter().find(|known| **known == method.as_str());
    known.copied().unwrap_or("other")
}

/// Wraps every handler.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let method = label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let id = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let span = info_span!("request", id, method, route, status = field::Empty);
    if let Some(parent) = request
        .headers()
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
    {
        foghorn_telemetry::set_parent(&span, parent);
    }
    // What the request sets off belongs to this span, whether the caller traces or not.
    let here = span.in_scope(foghorn_telemetry::current_traceparent);
    if let Some(here) = here.and_then(|text| HeaderValue::try_from(text).ok()) {
        request.headers_mut().insert(TRACEPARENT, here);
    }
    let started = Instant::now();
    let within = if super::UPLOAD_PATHS.contains(&route.as_str()) {
        FILE_WITHIN
    } else {
        ANSWER_WITHIN
    };
    let answer = tokio::time::timeout(within, next.run(request))
        .instrument(span.clone())
        .await;
    let response = answer.unwrap_or_else(|_| {
        (StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
    });
    let status = response.status().as_u16();
    span.record("status", status);
    span.in_scope(|| debug!(ms = started.elapsed().as_millis(), "answered"));
    metrics::histogram!(
        "foghorn_http_request_duration_seconds",
        "method" => method,
        "route" => route,
        "status" => status.to_string()
    )
    .record(started.elapsed().as_secs_f64());
    response
}
