//! Periodic clean-up: records and history that are no longer needed, images that nodes still store
//! although they were deleted, jobs without reports.

mod forget;
mod history;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{DropImage, Job, job};
use foghorn_types::{ImageId, StorageNodeId, Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::history::{History, Keep};
use crate::agents::jobs::JobWork;
use crate::app::sessions::{self, Settle};
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::recorder;

const PERIOD: Duration = Duration::from_secs(60);
/// Old rows of FOG's logs are found by reading all of them.
const LOGS_PERIOD: Duration = Duration::from_secs(60 * 60);
/// Agents send a report on a job every few seconds.
const JOB_PATIENCE: Duration = Duration::from_secs(120);

/// Cleans up once a minute until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, audit_keep: Duration, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "upkeep",
        period: PERIOD,
        wakes: Vec::new(),
    };
    let background = ctx.background.clone();
    let upkeep = Upkeep {
        ctx,
        audit_keep,
        history: History::new(Keep::default()),
        logs_seen: None,
    };
    background.drive(rhythm, upkeep, cancel).await;
}

struct Upkeep {
    ctx: Arc<Ctx>,
    audit_keep: Duration,
    history: History,
    logs_seen: Option<Instant>,
}

impl Work for Upkeep {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let (ctx, now) = (self.ctx.clone(), Timestamp::now());
        ctx.jobs.give_up(now, JOB_PATIENCE);
        recorder::handle().run_upkeep();
        removed(
            report,
            "used and expired tokens",
            forget::tokens(&ctx.state, now).await,
        );
        removed(
            report,
            "old idempotency keys",
            forget::keys(&ctx.state, now).await,
        );
        removed(
            report,
            "runs of deleted tasks",
            forget::runs(&ctx.state, now).await,
        );
        note(
            report,
            "close multicast sessions",
            sessions::settle(&ctx.state, Settle::All).await,
        );
        let oldest = now - self.audit_keep;
        removed(
            report,
            "old entries of the audit log",
            forget::audit(&**ctx.state.store(), oldest).await,
        );
        if self
            .logs_seen
            .is_none_or(|seen| seen.elapsed() >= LOGS_PERIOD)
        {
            self.logs_seen = Some(Instant::now());
            removed(
                report,
                "old rows of logs",
                forget::logs(&ctx.state, oldest).await,
            );
        }
        let last = ctx.state.read_at(|_, revision| revision);
        note(
            report,
            "forget old history",
            self.history
                .tidy(&**ctx.state.store(), Instant::now(), last)
                .await,
        );
        drop_images(&ctx, now, report);
    }
}

fn removed<E: std::error::Error + 'static>(
    report: &mut Report,
    what: &str,
    done: Result<usize, E>,
) {
    let done = done.map(|number| report.did(&format!("{what} removed"), number as u64));
    note(report, &format!("remove {what}"), done);
}

/// What one part of a round could not do does not keep the others from theirs.
fn note<E: std::error::Error + 'static>(report: &mut Report, what: &str, done: Result<(), E>) {
    if let Err(error) = done {
        warn!(error = %chain(&error), "could not {what}");
        report.failed(&format!("could not {what}"), &error);
    }
}

/// Orders nodes to delete what no longer belongs to any image and what no task is about to create
/// or use.
fn drop_images(ctx: &Ctx, now: Timestamp, report: &mut Report) {
    for (node, image) in orphans(ctx) {
        let job = ctx.jobs.create(node, JobWork::Drop { image }, now);
        let order = Job {
            job_id: job,
            work: Some(job::Work::Drop(DropImage {
                image_id: image.get(),
            })),
        };
        match ctx.links.send(node, Message::Job(order)) {
            Ok(()) => {
                info!(%node, %image, "ordered a node to delete an image");
                report.did("images dropped", 1);
            }
            Err(_) => ctx.jobs.forget(job),
        }
    }
}

fn orphans(ctx: &Ctx) -> Vec<(StorageNodeId, ImageId)> {
    let nodes = ctx.live.nodes();
    ctx.state.read(|tables| {
        let gone = |image: &ImageId| {
            tables.contents().get(image).is_none() && !tables.runs().uses_image(*image)
        };
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
