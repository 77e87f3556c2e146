//! A collector of traces (OTLP over gRPC), as small as one can be: it keeps what it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A span that has ended. Ids are hexadecimal digits, as in `traceparent`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The program that it is of.
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty when it began the trace.
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
}

/// A running collector; it ends when it is dropped.
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    spans: Spans,
    _runtime: Runtime,
}

type Spans = Arc<Mutex<Vec<Span>>>;

impl Collector {
    /// On a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let spans = Spans::default();
        let service = TraceServiceServer::new(Keeper(spans.clone()));
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(listener);
            Server::builder()
                .serve_with_incoming(service, incoming)
                .await
        });
        Ok(Self {
            endpoint,
            spans,
            _runtime: runtime,
        })
    }

    /// What has come of a trace.
    #[must_use]
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let of_trace = spans.iter().filter(|span| span.trace == id);
        of_trace.cloned().collect()
    }
}

struct Keeper(Spans);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of_program in request.into_inner().resource_spans {
            let about = of_program.resource.map(|about| texts(about.attributes));
            let service = about.and_then(|mut about| about.remove("service.name"));
            let service = service.unwrap_or_default();
            for span in of_program.scope_spans.into_iter().flat_map(|one| one.spans) {
                spans.push(Span {
                    service: service.clone(),
                    name: span.name,
                    trace: HEXLOWER.encode(&span.trace_id),
                    id: HEXLOWER.encode(&span.span_id),
                    parent: HEXLOWER.encode(&span.parent_span_id),
                    attributes: texts(span.attributes),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let known = attributes.into_iter().filter_map(|one| {
        let text = match one.value?.value? {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(is_so) => is_so.to_string(),
            other => format!("{other:?}"),
        };
        Some((one.key, text))
    });
    known.collect()
}

/// What began below `parent`, as people see it: a line for each kind of span, however many there
/// are of it, below the kind that it is part of.
#[must_use]
pub fn outline(spans: &[Span], parent: &str) -> String {
    let mut out = String::new();
    below(spans, &BTreeSet::from([parent]), 0, &mut out);
    out
}

fn below(spans: &[Span], parents: &BTreeSet<&str>, depth: usize, out: &mut String) {
    let mut kinds: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for span in spans {
        if parents.contains(span.parent.as_str()) {
            let kind = (span.service.as_str(), span.name.as_str());
            kinds.entry(kind).or_default().insert(&span.id);
        }
    }
    for ((service, name), ids) in kinds {
        // Writing into a string does not fail.
        let _ = writeln!(out, "{:1$}{name} ({service})", "", depth * 2);
        below(spans, &ids, depth + 1, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_a_line_for_each_kind() {
        let span = |service: &str, name: &str, id: &str, parent: &str| Span {
            service: service.to_owned(),
            name: name.to_owned(),
            id: id.to_owned(),
            parent: parent.to_owned(),
            ..Span::default()
        };
        let spans = [
            span("client", "run", "3", "1"),
            span("controller", "request", "1", "caller"),
            span("client", "run", "4", "1"),
            span("client", "receive", "5", "4"),
            span("client", "lost", "6", "nobody"),
        ];
        assert_eq!(
            outline(&spans, "caller"),
            "request (controller)\n  run (client)\n    receive (client)\n"
        );
    }
}
