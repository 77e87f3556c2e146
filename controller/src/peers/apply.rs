//! What another controller tells of its agents, taken into the memory of this one.

use std::collections::HashSet;

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::peer_event::Event;
use foghorn_proto::link::{NodeJob, NodeSaid, NodeUp, PeerOrder, SessionProgress};
use foghorn_types::{StorageNodeId, TaskId, Timestamp, chain};
use tokio::sync::mpsc;
use tracing::{debug, info};

use crate::agents::links::Dialled;
use crate::agents::live::NodeLive;
use crate::awake;
use crate::ctx::Ctx;
use crate::link::convert::{self, BadMessage};
use crate::link::reports::{self, JobNews};

/// Who tells, and where orders for its agents go.
pub(super) struct Teller {
    pub(super) controller: String,
    pub(super) orders: mpsc::Sender<PeerOrder>,
    /// Nodes that it has named, until it has told everything that it knew.
    pub(super) named: Option<HashSet<StorageNodeId>>,
}

/// Takes one event. What cannot be read is left out, as it is from an agent of this controller.
pub(super) fn take(ctx: &Ctx, teller: &mut Teller, event: Event) -> Result<(), BadMessage> {
    match event {
        // Taken by the caller.
        Event::Reached(_) => Ok(()),
        Event::Up(up) => came_up(ctx, teller, &up),
        Event::DownNodeId(node) => {
            if let Some(node) = StorageNodeId::new(node) {
                let gone = || ctx.live.set_down(node, awake::now());
                ctx.links.left(node, &teller.controller, gone);
            }
            Ok(())
        }
        Event::MovedNodeId(node) => {
            if let Some(node) = StorageNodeId::new(node) {
                ctx.links.overtaken(node, &teller.controller);
            }
            Ok(())
        }
        Event::Said(said) => heard(ctx, teller, said),
        Event::Job(job) => ordered(ctx, job),
        Event::Unreached(unreached) => {
            if let Some(task) = TaskId::new(unreached.task_id) {
                ctx.live.set_unreached(task, unreached.reason);
            }
            Ok(())
        }
        Event::AllTold(_) => {
            // Those that it had before and has no longer.
            let named = teller.named.take().unwrap_or_default();
            for node in ctx.links.at(&teller.controller) {
                if !named.contains(&node) {
                    let gone = || ctx.live.set_down(node, awake::now());
                    ctx.links.left(node, &teller.controller, gone);
                }
            }
            Ok(())
        }
    }
}

fn came_up(ctx: &Ctx, teller: &mut Teller, up: &NodeUp) -> Result<(), BadMessage> {
    let (Some(node), Some(hello)) = (StorageNodeId::new(up.node_id), &up.hello) else {
        return Ok(());
    };
    let ends = Some(up.certificate_ends_ms).filter(|ends| *ends > 0);
    let live = NodeLive {
        certificate_ends: ends.map(Timestamp::from_millis),
        ..reports::describe(hello)?
    };
    if let Some(named) = &mut teller.named {
        named.insert(node);
    }
    // Remembered, so that two machines with one certificate are noticed wherever they call next.
    ctx.live.learn_machine(node, hello.process);
    let up = || {
        reports::note_held(ctx, &live);
        ctx.live.set_node(node, live);
    };
    let at = (&*teller.controller, &teller.orders);
    ctx.links.moved_away(node, Dialled::from(hello), at, up);
    Ok(())
}

fn heard(ctx: &Ctx, teller: &Teller, said: NodeSaid) -> Result<(), BadMessage> {
    let node = StorageNodeId::new(said.node_id);
    let message = said.message.and_then(|message| message.message);
    let (Some(node), Some(message)) = (node, message) else {
        return Ok(());
    };
    if let Message::Job(report) = &message {
        ctx.mirror.passed_on(report);
        return reports::take_job(ctx, node, report, JobNews::of(report)?);
    }
    // Only the link that counts.
    if !ctx.links.is_at(node, &teller.controller) {
        return Ok(());
    }
    match message {
        Message::Status(status) => reports::take_status(ctx, node, &status),
        Message::Progress(report) => progressed(ctx, node, &report),
        Message::Multicast(report) => {
            reports::take_session(ctx, node, &report)?;
            reports::of_receivers(&report).try_for_each(|report| progressed(ctx, node, report))
        }
        Message::Ended(ended) => {
            ctx.live.forget_transfer(convert::task(ended.task_id)?);
            Ok(())
        }
        Message::Replica(report) => {
            // What follows from its end is stored by the controller that has the link.
            ctx.live.replica_reports().set(node, &report);
            Ok(())
        }
        Message::Hello(_) | Message::Job(_) => Ok(()),
    }
}

fn progressed(ctx: &Ctx, node: StorageNodeId, report: &SessionProgress) -> Result<(), BadMessage> {
    let task = convert::task(report.task_id)?;
    let own = ctx
        .state
        .read(|tables| tables.runs().get(&task).and_then(|run| run.node()));
    if own == Some(node) {
        let progress = convert::progress(node, report, awake::now());
        reports::take_progress(ctx, task, progress);
    }
    Ok(())
}

fn ordered(ctx: &Ctx, job: NodeJob) -> Result<(), BadMessage> {
    let (Some(node), Some(order)) = (StorageNodeId::new(job.node_id), &job.job) else {
        return Ok(());
    };
    let created = Timestamp::from_millis(job.created_ms);
    ctx.jobs
        .learn(order.job_id, node, reports::work_of(order)?, created);
    ctx.mirror.learned(job);
    Ok(())
}

/// A controller has ended: its agents are linked nowhere, until they call another one.
pub(super) fn ended(ctx: &Ctx, controller: &str) {
    ctx.links.not_heard(controller);
    lost(ctx, controller);
}

/// A controller is taken for dead: so are the links of which it has not spoken since.
pub(super) fn lost(ctx: &Ctx, controller: &str) {
    for node in ctx.links.at(controller) {
        let gone = || ctx.live.set_down(node, awake::now());
        if ctx.links.left_unheard(node, controller, gone) {
            info!(%node, "the storage node was linked to a controller that is gone");
        }
    }
}

/// As [`take`], with what cannot be read in the log.
pub(super) fn take_or_log(ctx: &Ctx, teller: &mut Teller, event: Event) {
    if let Err(error) = take(ctx, teller, event) {
        debug!(controller = teller.controller, error = %chain(&error), "another controller passed on something that cannot be read");
    }
}
