//! Periodic work that nobody asks for: records and history that serve nobody any more, images that nodes still keep though
//! they are gone, jobs that nobody reports on.

mod forget;
mod history;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{DropImage, Job, job};
use foghorn_types::{ImageId, StorageNodeId, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use self::history::{History, Keep};
use crate::agents::jobs::JobWork;
use crate::app::sessions::{self, Settle};
use crate::ctx::Ctx;
use crate::recorder;

const PERIOD: Duration = Duration::from_secs(60);
/// Old rows of FOG's logs are found by reading all of them.
const LOGS_PERIOD: Duration = Duration::from_secs(60 * 60);
/// Agents report on a job every few seconds.
const JOB_PATIENCE: Duration = Duration::from_secs(120);

/// Tidies once a minute until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, audit_keep: Duration, cancel: CancellationToken) {
    let mut history = History::new(Keep::default());
    let mut logs_seen: Option<Instant> = None;
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(tick.tick()).await.is_some() {
        let round = round(&ctx, audit_keep, &mut history, &mut logs_seen).instrument(info_span!("upkeep_round"));
        if cancel.run_until_cancelled(round).await.is_none() {
            return;
        }
    }
}

async fn round(ctx: &Ctx, audit_keep: Duration, history: &mut History, logs_seen: &mut Option<Instant>) {
    let now = Timestamp::now();
    ctx.jobs.give_up(now, JOB_PATIENCE);
    recorder::handle().run_upkeep();
    if let Err(error) = forget::tokens(&ctx.state, now).await {
        warn!(error = &error as &dyn std::error::Error, "could not remove used and expired tokens");
    }
    if let Err(error) = forget::keys(&ctx.state, now).await {
        warn!(error = &error as &dyn std::error::Error, "could not remove old idempotency keys");
    }
    if let Err(error) = forget::runs(&ctx.state, now).await {
        warn!(error = &error as &dyn std::error::Error, "could not remove runs of deleted tasks");
    }
    if let Err(error) = sessions::settle(&ctx.state, Settle::All).await {
        warn!(error = &error as &dyn std::error::Error, "could not close multicast sessions");
    }
    if let Err(error) = forget::audit(&**ctx.state.store(), now - audit_keep).await {
        warn!(error = &error as &dyn std::error::Error, "could not remove old entries of the audit log");
    }
    if logs_seen.is_none_or(|seen| seen.elapsed() >= LOGS_PERIOD) {
        *logs_seen = Some(Instant::now());
        if let Err(error) = forget::logs(&ctx.state, now - audit_keep).await {
            warn!(error = &error as &dyn std::error::Error, "could not remove old rows of logs");
        }
    }
    let last = ctx.state.read_at(|_, revision| revision);
    if let Err(error) = history.tidy(&**ctx.state.store(), Instant::now(), last).await {
        warn!(error = &error as &dyn std::error::Error, "could not forget old history");
    }
    drop_images(ctx, now);
}

/// Tells nodes to forget what no longer belongs to any image and what no task is about to make or use.
fn drop_images(ctx: &Ctx, now: Timestamp) {
    for (node, image) in orphans(ctx) {
        let job = ctx.jobs.create(node, JobWork::Drop { image }, now);
        let order = Job { job_id: job, work: Some(job::Work::Drop(DropImage { image_id: image.get() })) };
        match ctx.links.send(node, Message::Job(order)) {
            Ok(()) => info!(%node, %image, "told a node to drop an image"),
            Err(_) => ctx.jobs.forget(job),
        }
    }
}

fn orphans(ctx: &Ctx) -> Vec<(StorageNodeId, ImageId)> {
    let nodes = ctx.live.nodes();
    ctx.state.read(|tables| {
        let gone = |image: &ImageId| tables.contents().get(image).is_none() && !tables.runs().uses_image(*image);
        let mut orphans: Vec<_> = nodes
            .iter()
            .filter(|(_, live)| live.online)
            .flat_map(|(node, live)| live.manifests.iter().map(|(image, _)| (*node, *image)))
            .filter(|(_, image)| gone(image))
            .collect();
        orphans.sort_unstable();
        orphans.dedup();
        orphans
    })
}
