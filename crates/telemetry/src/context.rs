//! The W3C trace context (<https://www.w3.org/TR/trace-context/>) of spans, as text.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const HEADER: &str = "traceparent";

/// The `traceparent` of the span we are in, to be sent along with a request.
///
/// `None` outside every span, in a span that the filter leaves out, and before
/// [`init`](crate::init).
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(HEADER)
}

/// Makes `span` a child of the remote span that `traceparent` names.
///
/// To be called before the span is entered or has children. Text that is not a trace context is
/// ignored, as the W3C recommendation asks: a broken header must never break the request that
/// carries it; the span then starts a trace.
pub fn set_parent(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(HEADER.to_owned(), traceparent.trim().to_owned())]);
    let parent = TraceContextPropagator::new().extract(&carrier);
    if !parent.span().span_context().is_valid() {
        return;
    }
    if let Err(error) = span.set_parent(parent) {
        // Only a span that the filter leaves out, or one that has started already: neither concerns
        // the caller's work.
        tracing::debug!(%error, "the remote span could not become the parent");
    }
}
