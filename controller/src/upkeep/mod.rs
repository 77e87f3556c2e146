//! Periodic work that nobody asks for: tokens that have expired, images that nodes still keep though they are gone, jobs
//! that nobody reports on.

use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{DropImage, Job, job};
use foghorn_types::{ImageId, StorageNodeId, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::agents::jobs::JobWork;
use crate::api::Ctx;
use crate::api::native::telemetry;
use crate::state::Refusal;
use crate::store::Op;

const PERIOD: Duration = Duration::from_secs(60);
/// Agents report on a job every few seconds.
const JOB_PATIENCE: Duration = Duration::from_secs(120);
/// A used token is remembered this long after its end, so that a replay is called one.
const TOKEN_MEMORY: Duration = Duration::from_secs(60 * 60);
/// Keys in one transaction; etcd takes 128 unless told otherwise.
const BATCH: usize = 100;

/// Tidies once a minute until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(tick.tick()).await.is_some() {
        let round = round(&ctx).instrument(info_span!("upkeep_round"));
        if cancel.run_until_cancelled(round).await.is_none() {
            return;
        }
    }
}

async fn round(ctx: &Ctx) {
    let now = Timestamp::now();
    ctx.jobs.give_up(now, JOB_PATIENCE);
    telemetry::recorder().run_upkeep();
    if let Err(error) = forget_tokens(ctx, now).await {
        warn!(error = &error as &dyn std::error::Error, "could not remove expired tokens");
    }
    drop_images(ctx, now);
}

async fn forget_tokens(ctx: &Ctx, now: Timestamp) -> Result<(), Refusal> {
    let removed = ctx.state.write(|draft| {
        let expired: Vec<_> = draft.tables().tokens.expired(now - TOKEN_MEMORY).take(BATCH).cloned().collect();
        for token in &expired {
            draft.require(token.unchanged());
            draft.operate(Op::Delete { key: token.key() });
        }
        Ok(expired.len())
    });
    let removed = removed.await?;
    if removed > 0 {
        debug!(removed, "removed expired tokens");
    }
    Ok(())
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
        let gone = |image: &ImageId| tables.contents.get(*image).is_none() && !tables.runs.uses_image(*image);
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
