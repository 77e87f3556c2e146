//! What agents report, taken into memory: of those that are linked here and, in the same way, of
//! those whose words another controller passes on. Nothing here is stored or answered.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_proto::link::{self, job};
use foghorn_types::{ByteCount, ImageId, ManifestId, SessionId, StorageNodeId, TaskId, Timestamp};
use tracing::debug;

use super::convert::{self, BadMessage};
use crate::agents::jobs::{Damage, JobWork, RecordDamage};
use crate::agents::live::{NodeLive, TransferProgress};
use crate::awake;
use crate::ctx::Ctx;
use crate::state::classes::Image;

/// The state of a node from its hello.
pub(crate) fn describe(hello: &link::Hello) -> Result<NodeLive, BadMessage> {
    let mut live = NodeLive {
        online: true,
        quic_address: hello.quic_address.clone(),
        software: hello.software.clone(),
        gives_further: hello.gives_further,
        ..NodeLive::default()
    };
    // Agents of earlier versions send an empty one while they are still gathering it.
    let gathered = hello.status.as_ref();
    if let Some(status) = gathered.filter(|status| **status != link::NodeStatus::default()) {
        convert::apply_status(&mut live, status)?;
    }
    Ok(live)
}

/// Takes the status that a node reports.
pub(crate) fn take_status(
    ctx: &Ctx,
    node: StorageNodeId,
    status: &link::NodeStatus,
) -> Result<(), BadMessage> {
    let (mut result, mut is_news) = (Ok(()), false);
    ctx.live.update_node(node, |live| {
        let was_first = !live.reported;
        let before = (live.manifests.clone(), what_is_wrong(live));
        result = convert::apply_status(live, status);
        note_held(ctx, live);
        is_news = was_first || before != (live.manifests.clone(), what_is_wrong(live));
    });
    result?;
    if is_news {
        // Captures wait for the first report, removals and copies for what is held, and a client
        // may wait for a chunk that is damaged.
        ctx.live.touch();
    }
    Ok(())
}

/// The content that is damaged, with the number of damaged chunks, and what does not count yet.
fn what_is_wrong(live: &NodeLive) -> (BTreeMap<ManifestId, u64>, BTreeSet<ManifestId>) {
    let damaged = live.damaged.iter();
    (
        damaged.map(|(id, damage)| (*id, damage.chunks)).collect(),
        live.unverified.keys().copied().collect(),
    )
}

/// The numbers of what a node holds are not given to new images.
pub(crate) fn note_held(ctx: &Ctx, live: &NodeLive) {
    let held = live.manifests.iter().map(|(image, _)| image.get());
    ctx.state.avoid_ids::<Image>(held);
}

/// Takes the progress of a transfer.
pub(crate) fn take_progress(ctx: &Ctx, task: TaskId, progress: TransferProgress) {
    if ctx.live.set_progress(task, progress) {
        ctx.live.touch();
    }
}

/// Takes the state of a multicast session. Returns the receivers that continue by unicast since the
/// last report, and why.
pub(crate) fn take_session(
    ctx: &Ctx,
    node: StorageNodeId,
    report: &link::MulticastReport,
) -> Result<Vec<(TaskId, String)>, BadMessage> {
    let converted = convert::session_report(report, awake::now())?;
    let sent = SessionId::new(report.session_id).filter(|session| {
        ctx.state.read(|tables| {
            tables
                .session_plans()
                .get(session)
                .is_some_and(|plan| plan.leases.contains_key(&node))
        })
    });
    let Some(session) = sent else {
        debug!(
            session = report.session_id,
            "received a report on a multicast session that this node does not have"
        );
        return Ok(Vec::new());
    };
    let moved = ctx.live.session_reports().set(session, node, converted);
    Ok(moved.into_iter().collect())
}

/// The progress of the receivers of a multicast session.
pub(crate) fn of_receivers(
    report: &link::MulticastReport,
) -> impl Iterator<Item = &link::SessionProgress> {
    report
        .receivers
        .iter()
        .filter_map(|receiver| receiver.progress.as_ref())
}

/// What a report on a job says of damage.
pub(crate) struct JobNews {
    pub(crate) damaged: Vec<Damage>,
    records: Vec<RecordDamage>,
}

impl JobNews {
    pub(crate) fn of(report: &link::JobReport) -> Result<Self, BadMessage> {
        let damaged = report.damaged.iter().cloned().map(convert::damage);
        let records = report.records.iter().cloned().map(convert::record_damage);
        Ok(Self {
            damaged: damaged.collect::<Result<_, _>>()?,
            records: records.collect::<Result<_, _>>()?,
        })
    }
}

/// Takes a report on a job, whose error may be ours.
pub(crate) fn take_job(
    ctx: &Ctx,
    node: StorageNodeId,
    report: &link::JobReport,
    news: JobNews,
) -> Result<(), BadMessage> {
    if let Some(damage) = &report.damage {
        let mut result = Ok(());
        ctx.live.update_node(node, |live| {
            result = convert::set_damage(live, &damage.contents);
        });
        result?;
    }
    ctx.jobs.update(node, report.job_id, |state| {
        state.reported = Timestamp::now();
        state.done = report.done;
        state.error = Some(report.error.clone()).filter(|error| !error.is_empty());
        state.chunks_checked = report.chunks_checked;
        state.chunks_total = report.chunks_total;
        state.damaged = news.damaged;
        state.records = news.records;
        state.freed = ByteCount::from_bytes(report.freed_bytes);
    });
    Ok(())
}

/// The work that an order is for.
pub(crate) fn work_of(job: &link::Job) -> Result<JobWork, BadMessage> {
    let image = |id: u32| {
        ImageId::new(id).ok_or(BadMessage {
            field: "image_id",
            why: "is 0",
        })
    };
    Ok(match job.work.as_ref() {
        Some(job::Work::Scrub(_)) => JobWork::Scrub,
        Some(job::Work::Sweep(_)) => JobWork::Sweep,
        Some(job::Work::Verify(work)) => JobWork::Verify {
            image: image(work.image_id)?,
        },
        Some(job::Work::Drop(work)) => JobWork::Drop {
            image: image(work.image_id)?,
        },
        Some(job::Work::Adopt(work)) => JobWork::Adopt {
            from: image(work.from_image_id)?,
            to: image(work.to_image_id)?,
        },
        None => {
            return Err(BadMessage {
                field: "work",
                why: "is of a kind that this version does not know",
            });
        }
    })
}
