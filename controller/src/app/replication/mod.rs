//! Replication of images: every enabled node of an image's storage groups gets its content, and what
//! is damaged on a node is fetched again from another.
//!
//! It reconciles: [`snapshot`] reads the desired and the actual state, [`plan`] says what is due,
//! [`steps`] stores it, and each controller tells the nodes that are connected to it what the
//! records say ([`orders`]). Nothing is in the memory of one controller only: when it dies, the
//! others see the same records.

pub mod orders;
pub mod plan;
pub mod snapshot;
pub mod steps;
pub mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{ReplicaOrders, ReplicaPhase, ReplicaReport};
use foghorn_types::{StorageNodeId, Timestamp, chain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::plan::Limits;
use crate::agents::live::NodeLive;
use crate::app::history;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::replica::ReplicaJob;

/// Period of the rounds: reports of nodes, and times of the day, cause no notification.
const TICK: Duration = Duration::from_secs(1);
/// A change so soon after a round waits for the next one: a busy installation changes all the time,
/// and hardly any of it is about copies.
const PAUSE: Duration = Duration::from_millis(300);
/// What one node gives and takes at a time. One copy fills a link; the second hides its pauses.
pub const LIMITS: Limits = Limits {
    per_source: 2,
    per_target: 2,
};

/// Runs until `cancel`.
pub async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "replication",
        period: TICK,
        wakes: vec![
            ("tables", ctx.state.changed()),
            ("links", ctx.live.changed()),
        ],
    };
    let background = ctx.background.clone();
    let work = Replication {
        ctx,
        told: HashMap::new(),
        looked: None,
    };
    background.drive(rhythm, work, cancel).await;
}

struct Replication {
    ctx: Arc<Ctx>,
    /// What each node was told last, so that it is told only what is new.
    told: HashMap<StorageNodeId, ReplicaOrders>,
    /// When the last round was.
    looked: Option<Instant>,
}

impl Work for Replication {
    async fn round(&mut self, why: Why, report: &mut Report) {
        let lately = self.looked.is_some_and(|looked| looked.elapsed() < PAUSE);
        if lately && why != Why::Period {
            return;
        }
        self.looked = Some(Instant::now());
        let live = self.ctx.live.seen_through(&self.ctx.links);
        match steps::take(&self.ctx.state, &live, LIMITS, Timestamp::now()).await {
            Ok(0) => {}
            Ok(taken) => {
                foghorn_faults::wait!("controller.replica.planned");
                report.did("steps of copies", taken as u64);
            }
            Err(error) => {
                warn!(error = %chain(&error), "could not plan copies of images");
                report.failed("could not plan copies of images", &error);
            }
        }
        self.tell(&live);
        let copies = self.ctx.state.read(|tables| {
            let jobs = tables.replica_jobs().iter();
            jobs.map(|job| job.copy).collect()
        });
        self.ctx.live.replica_reports().keep_only(&copies);
    }
}

impl Replication {
    fn tell(&mut self, live: &HashMap<StorageNodeId, NodeLive>) {
        let online = self.ctx.links.online();
        self.told.retain(|node, _| online.contains(node));
        for node in online {
            let orders = || {
                let now = Timestamp::now();
                self.ctx.state.read(|tables| ReplicaOrders {
                    no_source: orders::without_source(tables, live, node),
                    ..orders::of_node(tables, node, now)
                })
            };
            let told = self.told.get(&node).cloned().unwrap_or_default();
            if orders() == told {
                continue;
            }
            let mut sent = told;
            let queued = self.ctx.links.send_with(node, || {
                sent = orders();
                Some(Message::Replicas(sent.clone()))
            });
            match queued {
                Ok(()) => drop(self.told.insert(node, sent)),
                // It gets them with its next link.
                Err(error) => debug!(%node, error = %chain(&error), "could not order copies"),
            }
        }
    }
}

/// Takes a node's word on a copy. The node repeats the last one until its orders no longer have the
/// copy, so nothing is acknowledged here.
///
/// # Errors
/// When what it says could not be stored.
pub async fn reported(
    ctx: &Ctx,
    node: StorageNodeId,
    report: &ReplicaReport,
) -> Result<(), Refusal> {
    let copy = report.copy_id;
    let known = ctx
        .state
        .read(|tables| steps::of_copy(tables, copy).cloned());
    let Some(job) = known.filter(|job| job.node == node) else {
        debug!(
            copy,
            "received a report on a copy that is no longer ordered"
        );
        return Ok(());
    };
    let grown = ctx.live.replica_reports().set(node, report);
    metrics::counter!("foghorn_replication_bytes_total").increment(grown);
    match report.phase() {
        ReplicaPhase::Done => {
            // Its next status says so, too; until then it must not look as if it had lost it.
            ctx.live.update_node(node, |live| {
                live.damaged.remove(&job.manifest);
                live.manifests.insert((job.image, job.manifest));
            });
            foghorn_faults::wait!("controller.replica.before-done");
            if let Some(job) = steps::done(&ctx.state, node, copy).await? {
                foghorn_faults::wait!("controller.replica.done");
                info!(image = %job.image, %node, bytes = report.bytes_fetched, "image copied");
                metrics::counter!("foghorn_replication_copies_total", "outcome" => "complete")
                    .increment(1);
                if job.heals && report.chunks_fetched > 0 {
                    healed(ctx, &job, report).await?;
                }
            }
        }
        ReplicaPhase::Failed => {
            let why = &report.problem;
            let failed = steps::failed(&ctx.state, node, copy, why, Timestamp::now());
            if let Some(job) = failed.await? {
                warn!(image = %job.image, %node, error = why, "an image was not copied");
                metrics::counter!("foghorn_replication_copies_total", "outcome" => "failed")
                    .increment(1);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A node has got from others what was damaged there.
async fn healed(ctx: &Ctx, job: &ReplicaJob, report: &ReplicaReport) -> Result<(), Refusal> {
    let chunks = report.chunks_fetched;
    metrics::counter!("foghorn_chunks_healed_total").increment(chunks);
    let line = ctx.state.read(|tables| {
        let image = tables.images().get(job.image.get());
        let image = image.map_or_else(|| job.image.to_string(), |image| image.name.clone());
        let node = tables.storage_nodes().get(job.node.get());
        let node = node.map_or_else(|| job.node.to_string(), |node| node.name.clone());
        format!(
            "Storage node {node}: {chunks} damaged chunks of image {image} were fetched again from \
             storage node {}",
            report.source
        )
    });
    info!(line, "damage was mended");
    history::write(&ctx.state, &line, "", Timestamp::now()).await
}
