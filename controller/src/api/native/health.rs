//! For load balancers and for Prometheus. No credentials: nothing here names a host; the names of
//! storage nodes are in their certificates, which everybody sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use foghorn_rest_types::native::{SilenceState, TaskPhase};
use foghorn_types::{ByteCount, StorageNodeId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gauges::{self, Gauge};
use super::input::Query;
use super::node_status::silence_of;
use super::replication;
use super::task_view::phase;
use crate::agents::live::NodeLive;
use crate::api::routes::{Routes, get};
use crate::awake;
use crate::ctx::Ctx;
use crate::recorder;
use crate::state::classes::StorageNode;
use crate::state::controller_record::ControllerRecord;
use crate::state::run::Run;
use crate::store::Condition;

/// A store that does not answer by then is not there.
const STORE_WITHIN: Duration = Duration::from_secs(2);
/// The same for whoever only reads.
const READS_WITHIN: Duration = Duration::from_millis(250);
/// Who shows what is older does not count as ready.
const BEHIND: Duration = Duration::from_secs(4);
/// Others are heard by then, or are not there.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

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
                .about(
                    "While this controller is about to end and others take over, the status is \
                     `draining` with 503: requests are still answered, and shall go elsewhere. \
                     While the state store does not answer or takes no changes, the status is \
                     `degraded`: reads are served from memory, and changes are refused with 503. \
                     That is 503 here too, so that a balancer prefers another controller; with \
                     `for=reads` it is 200.",
                )
                .query::<ReadyFor>()
                .gives::<Ready>(200, "Requests can be served.")
                .gives::<Ready>(503, "Requests cannot be served now, or no changes."),
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

/// What is to be served.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
struct ReadyFor {
    /// `reads`: 200 also while nothing can be changed. Default: `all`.
    #[serde(default, rename = "for")]
    wanted: Wanted,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Wanted {
    #[default]
    All,
    Reads,
}

/// Whether requests can be served.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Ready {
    /// `ok`; `degraded`: what was last known can be read, and nothing can be changed; or
    /// `draining`: this controller is about to end; or `starting`: it has not heard yet what the others
    /// know.
    status: &'static str,
    /// The state store answers.
    store: bool,
    /// A change would be stored: a small write was made within the last seconds.
    writable: bool,
    /// The cache is up to date with the store.
    cache: bool,
    /// How old what is read may be, in seconds, if that is more than a moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_seconds: Option<u64>,
    /// The alarm of etcd, such as NOSPACE.
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm: Option<&'static str>,
}

async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Requests can be served: the store answers and takes changes, and the cache follows it.
async fn ready(
    State(ctx): State<Arc<Ctx>>,
    Query(wanted): Query<ReadyFor>,
) -> (StatusCode, Json<Ready>) {
    // Whoever asks for reads need not wait for the store, and a balancer does not wait for long.
    let within = match wanted.wanted {
        Wanted::All => STORE_WITHIN,
        Wanted::Reads => READS_WITHIN,
    };
    let asked = tokio::time::timeout(within, ctx.state.store().get(crate::state::key::ROOT));
    // It goes on when nobody waits any more, so that the next one who asks finds what it found.
    let prober = ctx.clone();
    let probing = tokio::spawn(async move { prober.state.probe().check().await.is_ok() });
    let probed = async {
        match wanted.wanted {
            Wanted::All => probing.await.unwrap_or(false),
            Wanted::Reads => {
                let answer = tokio::time::timeout(READS_WITHIN, probing).await;
                matches!(answer, Ok(Ok(true)))
            }
        }
    };
    let (answered, writable) = tokio::join!(asked, probed);
    let store = matches!(answered, Ok(Ok(_)));
    let (cache, stale) = (ctx.state.is_ready(), ctx.state.stale_for());
    // For a moment a busy machine is late, and does not go to another one for that.
    let is_behind = stale.is_some_and(|stale| stale > BEHIND);
    let is_ok = store && writable && cache && !is_behind;
    let (is_leaving, is_starting) = (ctx.leaving.has_begun(), is_starting(&ctx));
    let alarm = match writable {
        true => None,
        false => tokio::time::timeout(within, ctx.state.store().condition())
            .await
            .ok()
            .and_then(|condition| condition.alarm),
    };
    let ready = Ready {
        status: match (is_leaving, is_starting, is_ok) {
            (true, ..) => "draining",
            (false, true, _) => "starting",
            (false, false, true) => "ok",
            (false, false, false) => "degraded",
        },
        store,
        writable,
        cache,
        stale_seconds: stale.map(|stale| stale.as_secs()),
        alarm,
    };
    let status = if !is_leaving && !is_starting && (is_ok || wanted.wanted == Wanted::Reads) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(ready))
}

/// Whether there is another controller that this one has not heard since its start: storage nodes that are
/// linked there would be shown as gone. One that is dead is not waited for long, and one that had the
/// same address not at all.
fn is_starting(ctx: &Ctx) -> bool {
    let own = ctx.peers.own();
    if own.is_empty() || awake::since(ctx.settings.began) > STARTS_WITHIN {
        return false;
    }
    ctx.state.read(|tables| {
        let mine = tables.controllers().get(&own.to_owned());
        let has_its_address =
            |one: &ControllerRecord| mine.is_some_and(|own| own.peers == one.peers);
        tables.controllers().iter().any(|one| {
            let is_known = one.id == own || ctx.peers.has_met(&one.id);
            !is_known && !one.leaving && !has_its_address(one)
        })
    })
}

/// Prometheus text. Gauges are taken at this moment, so they cost nothing in between.
async fn metrics(State(ctx): State<Arc<Ctx>>) -> impl IntoResponse {
    let store = tokio::time::timeout(STORE_WITHIN, ctx.state.store().condition());
    let mut gauges = of_tasks(&ctx);
    gauges.extend(of_store(store.await.ok()));
    let stale = ctx
        .state
        .stale_for()
        .map_or(0.0, |stale| stale.as_secs_f64());
    let help = "How old what this controller shows may be, because the state store does not answer; \
                otherwise 0.";
    gauges.push(Gauge::new("foghorn_cache_stale_seconds", help).with([], stale));
    gauges.extend(of_nodes(&ctx));
    gauges.push(of_replicas(&ctx));
    gauges.push(of_controllers(&ctx));
    let text = format!("{}{}", recorder::handle().render(), gauges::text(&gauges));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

fn of_tasks(ctx: &Ctx) -> Vec<Gauge> {
    let counts = ctx
        .state
        .read(|tables| count(tables.runs().iter().map(|run| &**run)));
    let mut tasks = Gauge::new("foghorn_tasks", "Imaging tasks that are stored, by state.");
    for (state, number) in counts {
        tasks = tasks.with([("state", state)], f64::from(number));
    }
    let online = ctx
        .live
        .nodes()
        .values()
        .filter(|node| node.is_linked())
        .count();
    vec![
        Gauge::new(
            "foghorn_build_info",
            "1, with the version of the controller as its label.",
        )
        .with([("version", env!("CARGO_PKG_VERSION"))], 1.0),
        tasks,
        Gauge::new(
            "foghorn_agents_online",
            "Agents that are connected to this controller.",
        )
        .with([], online as f64),
        Gauge::new(
            "foghorn_transfers_active",
            "Transfers that agents of this controller report.",
        )
        .with([], ctx.live.transfers().len() as f64),
    ]
}

/// The others that share the store, as this one knows them. Nothing with the embedded store.
fn of_controllers(ctx: &Ctx) -> Gauge {
    let gauge = Gauge::new(
        "foghorn_controllers",
        "Other controllers that share the state store, by whether this one hears them.",
    );
    if ctx.peers.own().is_empty() {
        return gauge;
    }
    let heard = ctx.peers.heard_by_id();
    let (heard, not_heard) = ctx.state.read(|tables| {
        let others = tables.controllers().iter();
        let others = others.filter(|one| one.id != ctx.peers.own());
        others.fold((0_u32, 0_u32), |(yes, no), one| {
            match heard.iter().any(|(id, _)| *id == one.id) {
                true => (yes + 1, no),
                false => (yes, no + 1),
            }
        })
    });
    gauge
        .with([("state", "heard")], f64::from(heard))
        .with([("state", "not_heard")], f64::from(not_heard))
}

fn of_replicas(ctx: &Ctx) -> Gauge {
    let gauge = Gauge::new(
        "foghorn_replicas",
        "Images on storage nodes that hold them or are to hold them, by state.",
    );
    let counts = replication::counts(ctx).into_iter();
    counts.fold(gauge, |gauge, (state, number)| {
        gauge.with([("state", state)], number as f64)
    })
}

/// A store that does not say anything in time has no gauges.
fn of_store(condition: Option<Condition>) -> Vec<Gauge> {
    let Some(condition) = condition else {
        return Vec::new();
    };
    let mut problem = Gauge::new(
        "foghorn_store_problem",
        "1 when the state store says that something is wrong with it; `foghorn doctor` says what.",
    );
    problem = problem.with(
        [("engine", condition.engine)],
        f64::from(u8::from(condition.problem.is_some())),
    );
    let mut alarms = Gauge::new("foghorn_etcd_alarm", "1 while etcd has raised this alarm.");
    let mut members = Gauge::new(
        "foghorn_etcd_member_up",
        "Whether this member of etcd answers and has a leader.",
    );
    if condition.engine == "etcd" {
        for alarm in ["NOSPACE", "CORRUPT"] {
            let raised = f64::from(u8::from(condition.alarm == Some(alarm)));
            alarms = alarms.with([("alarm", alarm)], raised);
        }
    }
    for member in &condition.members {
        let up = f64::from(u8::from(member.problem.is_none()));
        members = members.with([("endpoint", member.endpoint.as_str())], up);
    }
    let gauge = |name, help, bytes: Option<ByteCount>| {
        let bytes = bytes.map(|bytes| bytes.bytes() as f64);
        Gauge::new(name, help).with_known([("engine", condition.engine)], bytes)
    };
    vec![
        gauge(
            "foghorn_store_size_bytes",
            "Size of the file of the state store, or of etcd's database.",
            condition.used,
        ),
        gauge(
            "foghorn_store_filesystem_free_bytes",
            "Room that is left on the file system of the embedded state store.",
            condition.free,
        ),
        gauge(
            "foghorn_store_filesystem_size_bytes",
            "Size of the file system of the embedded state store.",
            condition.total,
        ),
        problem,
        alarms,
        members,
    ]
}

fn of_nodes(ctx: &Ctx) -> Vec<Gauge> {
    let mut online = Gauge::new(
        "foghorn_node_online",
        "Whether the agent of the storage node is connected to this controller.",
    );
    let mut failed = Gauge::new(
        "foghorn_node_failed",
        "1 for a storage node that has been silent for longer than the grace period.",
    );
    let mut free = Gauge::new(
        "foghorn_node_disk_free_bytes",
        "Bytes that may still be written on the disk of the storage node.",
    );
    let mut size = Gauge::new(
        "foghorn_node_disk_size_bytes",
        "Size of the disk of the storage node, without what is reserved for root.",
    );
    let mut keep_free = Gauge::new(
        "foghorn_node_keep_free_bytes",
        "Captures to the storage node are refused when less than this would stay free.",
    );
    let mut stored = Gauge::new(
        "foghorn_node_stored_bytes",
        "Compressed bytes of all chunks on the storage node.",
    );
    let mut bucket = Gauge::new(
        "foghorn_node_bucket_problem",
        "1 for a storage node that cannot use the bucket of its cold copies.",
    );
    let mut cold = Gauge::new(
        "foghorn_cold_copies",
        "Versions of images on a storage node with a bucket, by whether they are complete there.",
    );
    let seconds = |end: Timestamp| end.as_millis() as f64 / 1000.0;
    let mut ends = Gauge::new(
        "foghorn_certificate_end_timestamp_seconds",
        "When a certificate ends, as Unix time.",
    )
    .with_known(
        [("of", "authority"), ("name", "")],
        ctx.trust.authority_ends().map(seconds),
    )
    .with_known(
        [("of", "controller"), ("name", "")],
        ctx.trust.server_ends().map(seconds),
    );
    let live = ctx.live.nodes();
    let names: Vec<(StorageNodeId, String)> = ctx.state.read(|tables| {
        let rows = tables.of::<StorageNode>().iter();
        rows.filter_map(|row| Some((StorageNodeId::new(row.id)?, row.name.clone())))
            .collect()
    });
    for (id, name) in &names {
        let seen = live.get(id);
        let label = [("node", name.as_str())];
        online = online.with(
            label,
            f64::from(u8::from(seen.is_some_and(NodeLive::is_linked))),
        );
        let has_failed =
            silence_of(ctx, *id, seen).is_some_and(|silence| silence.state == SilenceState::Failed);
        failed = failed.with(label, f64::from(u8::from(has_failed)));
        let Some(seen) = seen else { continue };
        free = free.with(label, seen.disk_free.bytes() as f64);
        size = size.with(label, seen.disk_total.bytes() as f64);
        keep_free = keep_free.with(label, seen.keep_free.bytes() as f64);
        stored = stored.with(label, seen.stored_bytes.bytes() as f64);
        let trouble = seen
            .cold
            .as_ref()
            .and_then(|copies| copies.trouble.as_ref());
        bucket = bucket.with(label, f64::from(u8::from(trouble.is_some())));
        if let Some(copies) = &seen.cold {
            let complete = copies.images.values().filter(|copy| copy.complete).count();
            for (state, count) in [
                ("complete", complete),
                ("incomplete", copies.images.len() - complete),
            ] {
                cold = cold.with([("node", name.as_str()), ("state", state)], count as f64);
            }
        }
        ends = ends.with_known(
            [("of", "node"), ("name", name)],
            seen.certificate_ends.map(seconds),
        );
    }
    vec![
        online, failed, free, size, keep_free, stored, ends, bucket, cold,
    ]
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
