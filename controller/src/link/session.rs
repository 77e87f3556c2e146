//! One agent's link from its hello to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foghorn_lifecycle::{Outcome, TaskEvent, TaskState};
use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_proto::link::{self, AgentMessage, ControllerMessage, EndedRecorded};
use foghorn_types::{DiskPart, ImageId, StorageNodeId, TaskId, Timestamp, chain};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{debug, info, warn};

use super::age::{ends, is_older_than_enrolment};
use super::convert::{self, BadMessage, Captured, Ended};
use super::reports::{self, JobNews, describe, note_held, take_status};
use crate::agents::jobs::{Damage, JobWork};
use crate::agents::links::Dialled;
use crate::agents::live::NodeLive;
use crate::app::moves::{MoveError, apply_event, apply_event_with};
use crate::app::notices::states;
use crate::app::{further, holds, orders, orphans, replication, versions};
use crate::awake;
use crate::config::VersionConfig;
use crate::ctx::Ctx;
use crate::state::classes::Image;
use crate::state::content::{CapturedFrom, ImageContent};
use crate::state::enrolment::EnrolledNode;
use crate::state::run::Run;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, Tables};

/// A controller that hung, or whose store does not answer, gets this long to see what is stored before it
/// tells an agent all that it should have.
const CURRENT_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time limit for the hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Why a link ended before either side closed it.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the agent did not send its hello in time")]
    NoHello,
    #[error("the agent sent an invalid message")]
    BadMessage(#[from] BadMessage),
    #[error("the agent's stream failed")]
    Broken(#[from] Status),
    /// The agent keeps unacknowledged reports and sends them again on its next link.
    #[error("could not store what the agent reported")]
    NotStored(#[source] MoveError),
    /// Likewise: somebody who sees what is stored has to judge it.
    #[error("this controller does not see yet what is stored of task {0}, whose end was reported")]
    Behind(TaskId),
}

/// What an agent sends: over gRPC, or as a simulation has it.
pub(crate) trait Messages:
    Stream<Item = Result<AgentMessage, Status>> + Send + Unpin
{
}

impl<S: Stream<Item = Result<AgentMessage, Status>> + Send + Unpin> Messages for S {}

/// Serves the link until either side ends it.
pub(super) async fn run(
    ctx: Arc<Ctx>,
    (node, leaf): (Arc<EnrolledNode>, Option<Vec<u8>>),
    mut inbound: impl Messages,
    outgoing: mpsc::Sender<Result<ControllerMessage, Status>>,
    cancel: CancellationToken,
) {
    let hello = match cancel.run_until_cancelled(hello(&mut inbound)).await {
        None => return,
        Some(Err(error)) => return warn!(error = %chain(&error), "could not establish a link"),
        Some(Ok(hello)) => hello,
    };
    let id = node.node;
    let leaf = leaf.as_deref();
    // It may have waited with its hello until another one took its place.
    if leaf.is_some_and(|leaf| is_outdated(&ctx, id, leaf)) {
        return info!("another agent has enrolled as this storage node; its link ends");
    }
    if ctx.live.alternates(id, hello.process) {
        if let Err(error) = holds::refuse_clones(&ctx, id).await {
            warn!(error = %chain(&error), "could not refuse two machines with one certificate");
        }
        return;
    }
    let live = match describe(&hello) {
        Ok(live) => NodeLive {
            certificate_ends: leaf.and_then(ends),
            ..live
        },
        Err(error) => return warn!(error = %chain(&error), "could not establish a link"),
    };
    let behind = !is_current_soon(&ctx).await;
    let first = || {
        ctx.state.read_at(|tables, revision| {
            let all = link::Reconcile {
                behind,
                further: Some(further::orders(tables, ctx.terms(), id)),
                ..orders::reconcile(tables, &ctx.settings.multicast, id)
            };
            (Order::Reconcile(all), revision)
        })
    };
    let dialled = Dialled::from(&hello);
    let dialled = (dialled, &*hello.sessions);
    let up = || {
        note_held(&ctx, &live);
        ctx.live.set_node(id, live);
        ctx.mirror.up(id, hello.clone(), leaf.and_then(ends));
    };
    let added = ctx
        .links
        .add(id, dialled, outgoing, cancel.clone(), first, up);
    let Ok(number) = added else { return };
    info!(
        software = hello.software,
        quic = hello.quic_address,
        sessions = hello.sessions.len(),
        "agent connected"
    );
    if ctx.leaving.has_begun() {
        // It came in the moment in which all others were told.
        tell_to_leave(&ctx, id);
    }

    let served = async {
        tokio::select! {
            ended = serve(&ctx, id, &mut inbound) => Some(ended),
            () = outdated(&ctx, id, leaf) => None,
        }
    };
    match cancel.run_until_cancelled(served).await.flatten() {
        None => info!("link closed by this side"),
        Some(Ok(())) => info!("agent disconnected"),
        Some(Err(error)) => warn!(error = %chain(&error), "link lost"),
    }
    let gone = || ctx.live.set_down(id, awake::now());
    let _left = ctx.links.remove(id, number, gone);
}

/// Whether another agent has enrolled as this storage node since the certificate was issued, or it was
/// revoked.
fn is_outdated(ctx: &Ctx, node: StorageNodeId, leaf: &[u8]) -> bool {
    ctx.state.read(|tables| {
        let enrolled = tables.enrolled_nodes().get(&node);
        enrolled.is_some_and(|enrolled| is_older_than_enrolment(leaf, enrolled))
    })
}

/// Waits until it has. Whoever lets that agent in closes the links that it knows of; this one may have
/// been opened at that moment, or at another controller that is not heard.
async fn outdated(ctx: &Ctx, node: StorageNodeId, leaf: Option<&[u8]>) {
    let Some(leaf) = leaf else {
        return std::future::pending().await;
    };
    let mut changed = ctx.state.changed();
    let mut judged = None;
    loop {
        changed.mark_unchanged();
        let stored = ctx.state.read(|tables| {
            let enrolled = tables.enrolled_nodes().get(&node);
            enrolled.map(|enrolled| enrolled.modified)
        });
        if stored != judged {
            if is_outdated(ctx, node, leaf) {
                return;
            }
            judged = stored;
        }
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Whether the tables show what is stored, at least soon.
async fn is_current_soon(ctx: &Ctx) -> bool {
    let until = tokio::time::Instant::now() + CURRENT_WITHIN;
    while ctx.state.stale_for().is_some() {
        if tokio::time::Instant::now() > until {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

/// The agent is to call another controller.
pub(crate) fn tell_to_leave(ctx: &Ctx, node: StorageNodeId) {
    let links = ctx
        .state
        .read(|tables| orders::links_beside(tables, ctx.peers.own()));
    if let Err(refused) = ctx.links.send(node, Order::Leave(link::Leave { links })) {
        debug!(%node, error = %chain(&refused), "could not tell a storage node that this controller leaves");
    }
}

async fn hello(inbound: &mut impl Messages) -> Result<link::Hello, LinkError> {
    let first = tokio::time::timeout(HELLO_WITHIN, inbound.next())
        .await
        .map_err(|_| LinkError::NoHello)?
        .transpose()?;
    match first.and_then(|message| message.message) {
        Some(Message::Hello(hello)) => Ok(hello),
        _ => Err(LinkError::NoHello),
    }
}

async fn serve(
    ctx: &Ctx,
    node: StorageNodeId,
    inbound: &mut impl Messages,
) -> Result<(), LinkError> {
    while let Some(message) = inbound.next().await.transpose()? {
        if let Some(message) = &message.message
            // What became of a job is told when it is known.
            && !matches!(message, Message::Hello(_) | Message::Job(_))
        {
            ctx.mirror.said(node, message);
        }
        match message.message {
            None => debug!("unknown kind of message"),
            Some(Message::Hello(_)) => {
                return Err(BadMessage {
                    field: "hello",
                    why: "comes once",
                }
                .into());
            }
            Some(Message::Status(status)) => {
                take_status(ctx, node, &status)?;
            }
            Some(Message::Progress(report)) => progressed(ctx, node, &report).await?,
            Some(Message::Ended(message)) => {
                let task = convert::task(message.task_id)?;
                ended(ctx, node, task, convert::ended(message)?).await?;
            }
            Some(Message::Job(report)) => reported(ctx, node, report).await?,
            Some(Message::Replica(report)) => {
                let stored = replication::reported(ctx, node, &report).await;
                stored.map_err(|error| LinkError::NotStored(error.into()))?;
            }
            Some(Message::Multicast(report)) => store_session_report(ctx, node, &report).await?,
        }
    }
    Ok(())
}

async fn progressed(
    ctx: &Ctx,
    node: StorageNodeId,
    report: &link::SessionProgress,
) -> Result<(), LinkError> {
    let task = convert::task(report.task_id)?;
    let state = ctx
        .state
        .read(|tables| tables.runs().get(&task).map(|run| run.life.state().clone()));
    match state {
        Some(TaskState::Running { node: own }) if own == node => {}
        Some(TaskState::CheckedIn { node: own }) if own == node => {
            // Before anybody can read that it runs.
            ctx.live.forget_unreached(task);
            match apply_event(ctx, task, TaskEvent::Progressed { node }).await {
                Ok(_) => {}
                Err(MoveError::Transition(refused)) => {
                    debug!(%task, error = %chain(&refused), "progress arrived late");
                    return Ok(());
                }
                Err(error) => return Err(LinkError::NotStored(error)),
            }
        }
        // For a session that it no longer has, or that has no client yet.
        _ => return Ok(()),
    }
    let progress = convert::progress(node, report, awake::now());
    metrics::counter!("foghorn_transfer_wire_bytes_total")
        .increment(ctx.live.wire_growth(task, &progress));
    reports::take_progress(ctx, task, progress);
    Ok(())
}

/// Stores the state of a multicast session. The progress of its receivers is that of their tasks.
async fn store_session_report(
    ctx: &Ctx,
    node: StorageNodeId,
    report: &link::MulticastReport,
) -> Result<(), LinkError> {
    let moved = reports::take_session(ctx, node, report)?;
    for (task, reason) in moved {
        warn!(session = report.session_id, %task, reason, "a receiver of a multicast session continues by unicast");
    }
    for progress in reports::of_receivers(report) {
        progressed(ctx, node, progress).await?;
    }
    Ok(())
}

/// Stores the end of a session and acknowledges it to the agent. A second acknowledgement is
/// harmless, an early one is not.
async fn ended(
    ctx: &Ctx,
    node: StorageNodeId,
    task: TaskId,
    ended: Ended,
) -> Result<(), LinkError> {
    let (incarnation, mut unknown) = (ended.incarnation, false);
    let captured = ended.captured.as_ref().map(|captured| captured.manifest);
    foghorn_faults::wait!("controller.end.before");
    match record_or_refuse(ctx, node, task, ended).await? {
        // The node has checked that every chunk is there; its next status says so, too.
        Ok(()) => ctx.live.update_node(node, |live| {
            if let Some(manifest) = captured {
                live.damaged.remove(&manifest);
            }
        }),
        Err(MoveError::NoSuchTask(_)) => {
            warn!(%task, "received the end of a session that is not known here");
            unknown = true;
        }
        Err(MoveError::Transition(refused)) => {
            debug!(
                %task,
                error = %chain(&refused),
                "received the end of a session that was moved to another node"
            )
        }
        Err(error @ MoveError::State(_)) => return Err(LinkError::NotStored(error)),
    }
    ctx.live.forget_transfer(task);
    if foghorn_faults::lost!("controller.end.stored") {
        return Err(Status::unavailable("the answer was made to get lost").into());
    }
    if let Err(refused) = ctx.links.send(
        node,
        Order::EndedRecorded(EndedRecorded {
            task_id: task.get(),
            incarnation,
            unknown,
        }),
    ) {
        debug!(%task, error = %chain(&refused), "the agent will report the end again");
    }
    Ok(())
}

/// Stores the end of a session, or refuses it for good: the agent forgets it then.
///
/// A refusal writes nothing that the store would compare, so it counts only if the tables showed the run
/// as it is stored. A controller that has lost touch with the store must not judge.
async fn record_or_refuse(
    ctx: &Ctx,
    node: StorageNodeId,
    task: TaskId,
    ended: Ended,
) -> Result<Result<(), MoveError>, LinkError> {
    let shown = || {
        let run = |tables: &Tables| tables.runs().get(&task).map(|run| run.modified);
        ctx.state.read(run)
    };
    loop {
        let before = shown();
        let result = record_end(ctx, node, task, ended.clone()).await;
        if !matches!(
            result,
            Err(MoveError::NoSuchTask(_) | MoveError::Transition(_))
        ) {
            return Ok(result);
        }
        let entry = ctx.state.store().get(&Run::key_of(&task)).await;
        let entry =
            entry.map_err(|error| LinkError::NotStored(MoveError::State(Refusal::Store(error))))?;
        let stored = entry.map(|entry| entry.modified);
        if stored == before {
            return Ok(result);
        }
        if stored != shown() {
            return Err(LinkError::Behind(task));
        }
        // The tables have moved on: with these it is judged again.
    }
}

async fn record_end(
    ctx: &Ctx,
    node: StorageNodeId,
    task: TaskId,
    ended: Ended,
) -> Result<(), MoveError> {
    let capture = ctx
        .state
        .read(|tables| tables.runs().get(&task).map(|run| run.life.kind()))
        == Some(foghorn_lifecycle::TaskKind::Capture);
    let (outcome, captured) = match (ended.outcome, ended.captured) {
        (Outcome::Complete, None) if capture => {
            let reason =
                "the storage node reported a finished capture without its content".to_owned();
            (
                Outcome::Failed {
                    reason,
                    node_at_fault: true,
                },
                None,
            )
        }
        (outcome, captured) => (outcome, captured.filter(|_| capture)),
    };
    // A task of a store that was restored since may have had its number.
    let check = |run: &Run| match run.may_be(ended.incarnation) {
        true => Ok(()),
        false => Err(MoveError::NoSuchTask(task)),
    };
    let result = apply_event_with(
        ctx,
        task,
        TaskEvent::Ended { node, outcome },
        |run, draft| {
            check(run)?;
            match &captured {
                Some(captured) => {
                    run.notes = captured.notes.of_capture();
                    store_captured(draft, run, captured, node, ctx.settings.versions)?;
                }
                None => {
                    if let Some(content) = versions::content_of(draft.tables(), run) {
                        run.notes = content.notes.of_deploy();
                    }
                }
            }
            Ok(())
        },
    );
    match result.await {
        Ok(_) => Ok(()),
        // The node reports "complete" where that is impossible. It has nothing more to do, but the
        // task must still end.
        Err(MoveError::Transition(foghorn_lifecycle::TransitionError::Illegal { .. })) => {
            warn!(
                %task,
                "a storage node reported the completion of a task whose client never checked in"
            );
            let reason = "the storage node reported an impossible completion".to_owned();
            apply_event_with(
                ctx,
                task,
                TaskEvent::Ended {
                    node,
                    outcome: Outcome::Failed {
                        reason,
                        node_at_fault: true,
                    },
                },
                |run, _| check(run),
            )
            .await
            .map(|_| ())
        }
        Err(error) => Err(error),
    }
}

/// The record of what a node has stored.
fn content(
    captured: Captured,
    image: ImageId,
    part: DiskPart,
    node: StorageNodeId,
) -> ImageContent {
    ImageContent {
        image,
        manifest: captured.manifest,
        part,
        logical_bytes: captured.logical_bytes,
        used_bytes: captured.used_bytes,
        stored_bytes: captured.stored_bytes,
        new_bytes: captured.new_bytes,
        captured_at: Timestamp::now(),
        nodes: vec![node],
        notes: captured.notes,
        disks: captured.disks,
        partitions: captured.partitions,
        version: 1,
        newest: None,
        from: None,
        previous: Vec::new(),
        minimum: captured.minimum,
        modified: 0,
    }
}

/// Stores what a capture brought. What the image was before is kept for a while.
fn store_captured(
    draft: &mut Draft<'_>,
    run: &Run,
    captured: &Captured,
    node: StorageNodeId,
    keep: VersionConfig,
) -> Result<(), Refusal> {
    let host = draft.tables().hosts().get(run.host.get());
    let content = ImageContent {
        from: Some(CapturedFrom {
            host: run.host,
            name: host.map(|host| host.name.clone()).unwrap_or_default(),
        }),
        ..content(captured.clone(), run.image, run.scope.part, node)
    };
    // As on a FOG server, the date of an image is that of its last capture.
    versions::store(draft, content, keep, |image, _| Image {
        deployed: Timestamp::now().into(),
        ..image
    })
}

async fn reported(
    ctx: &Ctx,
    node: StorageNodeId,
    mut report: link::JobReport,
) -> Result<(), LinkError> {
    let news = JobNews::of(&report)?;
    if let Some(stored) = report
        .adopted
        .clone()
        .filter(|_| report.done && report.error.is_empty())
    {
        let stored = convert::captured(stored)?;
        let adopted = adopted(ctx, node, report.job_id, stored).await;
        report.error = adopted.err().unwrap_or_default();
    }
    if report.done {
        info!(
            job = report.job_id,
            checked = report.chunks_checked,
            damaged = news.damaged.len(),
            error = report.error,
            "job done"
        );
    }
    if report.done && report.error.is_empty() {
        tell_damage(ctx, node, report.job_id, &news.damaged).await;
    }
    reports::take_job(ctx, node, &report, news)?;
    ctx.mirror.said(node, &Message::Job(report));
    Ok(())
}

/// Tells of what a scrub or verification has found. What cannot be told is still in the job.
async fn tell_damage(ctx: &Ctx, node: StorageNodeId, job: u64, damaged: &[Damage]) {
    let job = ctx.jobs.get(job).filter(|job| job.node == node);
    // That an image is whole says nothing of the others.
    let looked_at_all = job.is_some_and(|job| job.work == JobWork::Scrub);
    if damaged.is_empty() && !looked_at_all {
        return;
    }
    let images: BTreeSet<ImageId> = damaged
        .iter()
        .flat_map(|damage| damage.images.iter().copied())
        .collect();
    let images: Vec<ImageId> = images.into_iter().collect();
    let told = states::damage(&ctx.state, node, damaged.len(), &images, Timestamp::now());
    if let Err(error) = told.await {
        warn!(%node, error = %chain(&error), "could not tell of damage");
    }
}

/// Records what a node has adopted, if this controller has ordered it. An error is a text for the
/// status of the job.
async fn adopted(ctx: &Ctx, node: StorageNodeId, job: u64, stored: Captured) -> Result<(), String> {
    let job = ctx.jobs.get(job).filter(|job| job.node == node);
    let Some(JobWork::Adopt { from, to }) = job.map(|job| job.work) else {
        return Err(
            "the controller was restarted since it ordered this; order it again".to_owned(),
        );
    };
    let part = stored.notes.part();
    let origin = ctx
        .live
        .node(node)
        .and_then(|live| live.origins.get(&stored.manifest).cloned());
    let mut content = content(stored, to, part, node);
    if let Some(origin) = origin {
        content.captured_at = origin.captured;
        content.from = origin.host.map(|(host, name)| CapturedFrom { host, name });
    }
    orphans::adopted(ctx, from, &content)
        .await
        .map_err(|error| chain(&error).to_string())
}
