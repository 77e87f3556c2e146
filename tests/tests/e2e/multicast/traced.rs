//! One deploy by multicast is one trace: from the request that orders it to every machine that
//! receives it, as a collector gets it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use foghorn_tests::collector::{Collector, Span, outline};
use foghorn_tests::page::sources;
use foghorn_tests::stack::{Engine, Environment, Options, PATIENCE, Stack};
use serde_json::json;

use super::room::Room;

/// Shows what this test sees.
const PAGE: &str = "docs/operations/observability.md";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4737";
/// The span of whoever makes the request.
const CALLER: &str = "00f067aa0ba902b8";

static ENDPOINT: OnceLock<String> = OnceLock::new();

fn environment(_: &Path) -> Environment {
    let endpoint = ENDPOINT.get().cloned().unwrap_or_default();
    vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]
}

#[test]
fn one_trace_reaches_from_the_request_to_every_receiver() {
    traced().unwrap();
}

fn traced() -> Result<()> {
    let collector = Collector::start()?;
    ENDPOINT.get_or_init(|| collector.endpoint.clone());
    let options = Options {
        environment,
        ..Options::default()
    };
    let mut room = Room::new(Stack::start_with(Engine::Embedded, &options)?, 24)?;
    let mut machines = [room.machine(1)?, room.machine(2)?];
    let caller = format!("00-{TRACE}-{CALLER}-01");
    let session = room.session_with(&machines, json!({}), &[("traceparent", &caller)])?;
    for machine in &mut machines {
        room.start(machine, None)?;
    }
    for machine in &mut machines {
        let report = room.finish(machine, PATIENCE)?;
        ensure!(report.number("bytes_multicast") > 0, "{report:?}");
    }
    room.ended(session)?;
    // A program sends what it still has when it ends.
    room.stack.agents[0].process.stop(PATIENCE)?;
    room.stack.controller.stop(PATIENCE)?;
    let spans = collector.trace(TRACE);
    check(&spans).with_context(|| format!("in\n{}\n{spans:#?}", outline(&spans, CALLER)))
}

fn check(spans: &[Span]) -> Result<()> {
    let named = |service: &str, name: &str| -> Vec<&Span> {
        let is_it = |span: &&Span| span.service == service && span.name == name;
        spans.iter().filter(is_it).collect()
    };
    let requests = named("foghorn-controller", "request");
    ensure!(requests.len() == 1, "{} requests", requests.len());
    let route = requests[0].attributes.get("route").map(String::as_str);
    ensure!(route == Some("/foghorn/v1/multicast-sessions"), "{route:?}");

    let runs = named("foghorn-client", "run");
    let hosts: BTreeSet<_> = runs.iter().map(|run| run.attributes.get("host")).collect();
    ensure!(runs.len() == 2 && hosts.len() == 2, "not a run for each");
    let receiving = named("foghorn-client", "receive");
    for run in &runs {
        let receives = receiving.iter().any(|one| one.parent == run.id);
        ensure!(receives, "a machine did not receive: {run:?}");
    }
    // Nothing of the trace hangs in the air: its outline has all kinds of spans that there are.
    let known: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let lost = spans
        .iter()
        .find(|span| span.parent != CALLER && !known.contains(span.parent.as_str()));
    ensure!(lost.is_none(), "the parent of {lost:?} is not there");

    let page = fs::read_to_string(sources().join(PAGE))?;
    let shown = outline(spans, CALLER);
    ensure!(
        page.contains(&format!("```text\n{shown}```")),
        "{PAGE} shows another trace"
    );
    Ok(())
}
