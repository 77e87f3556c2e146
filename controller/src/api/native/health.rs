//! For load balancers and for Prometheus. No credentials: nothing here names a host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use foghorn_rest_types::native::TaskPhase;
use schemars::JsonSchema;
use serde::Serialize;

use super::tasks::phase;
use crate::api::routes::{Routes, get};
use crate::ctx::Ctx;
use crate::recorder;
use crate::state::run::Run;

/// A store that does not answer by then is not there.
const STORE_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/healthz", alive)
                .open()
                .named("health", "alive", "Test whether the process runs")
                .gives::<Alive>(200, "The process runs."),
        )
        .add(
            get("/readyz", ready)
                .open()
                .named("health", "ready", "Test whether requests can be served")
                .gives::<Ready>(200, "Requests can be served.")
                .gives::<Ready>(503, "Requests cannot be served now."),
        )
        .add(
            get("/metrics", metrics)
                .open()
                .named(
                    "health",
                    "metrics",
                    "Show metrics in Prometheus' text format",
                )
                .gives_text(200, "Metrics.", "text/plain"),
        )
}

/// The process runs and answers.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Alive {
    /// The process answers.
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
}

/// Whether requests can be served.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Ready {
    /// The state store answers.
    store: bool,
    /// A change would be stored: a small write was made within the last seconds.
    writable: bool,
    /// The cache is up to date with the store.
    cache: bool,
}

async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Requests can be served: the store answers and takes changes, and the cache follows it.
async fn ready(State(ctx): State<Arc<Ctx>>) -> (StatusCode, Json<Ready>) {
    let answered =
        tokio::time::timeout(STORE_WITHIN, ctx.state.store().get(crate::state::key::ROOT)).await;
    let writable = ctx.state.probe().check().await.is_ok();
    let (store, cache) = (matches!(answered, Ok(Ok(_))), ctx.state.is_ready());
    let status = if store && writable && cache {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let ready = Ready {
        store,
        writable,
        cache,
    };
    (status, Json(ready))
}

/// Prometheus text. Gauges are taken at this moment, so they cost nothing in between.
async fn metrics(State(ctx): State<Arc<Ctx>>) -> impl IntoResponse {
    let counts = ctx
        .state
        .read(|tables| count(tables.runs().iter().map(|run| &**run)));
    for (name, number) in counts {
        metrics::gauge!("foghorn_tasks", "state" => name).set(f64::from(number));
    }
    let online = ctx.live.nodes().values().filter(|node| node.online).count();
    metrics::gauge!("foghorn_agents_online").set(online as f64);
    metrics::gauge!("foghorn_transfers_active").set(ctx.live.transfers().len() as f64);
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        recorder::handle().render(),
    )
}

fn count<'a>(runs: impl Iterator<Item = &'a Run>) -> BTreeMap<&'static str, u32> {
    let names = [
        "queued",
        "assigned",
        "checked_in",
        "running",
        "complete",
        "failed",
        "cancelled",
    ];
    let mut counts: BTreeMap<_, _> = names.iter().map(|name| (*name, 0)).collect();
    for run in runs {
        let name = match phase(run.life.state()).0 {
            TaskPhase::Queued => "queued",
            TaskPhase::Assigned => "assigned",
            TaskPhase::CheckedIn => "checked_in",
            TaskPhase::Running => "running",
            TaskPhase::Complete => "complete",
            TaskPhase::Failed => "failed",
            TaskPhase::Cancelled => "cancelled",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}
