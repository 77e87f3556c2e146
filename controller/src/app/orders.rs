//! Orders for nodes, built from the tables.

use std::collections::BTreeSet;

use foghorn_lifecycle::{Outcome, TaskState};
use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{
    AdmitClient, CancelSession, Controllers, MulticastOrder, OpenSession, Reconcile, SessionKind,
    SessionLimit, StoredManifest,
};
use foghorn_types::{ImageId, ManifestId, StorageNodeId, TaskId, Timestamp, chain};
use tracing::debug;

use super::{multicast, replication, versions};
use crate::agents::links::SendError;
use crate::config::MulticastConfig;
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::run::{Run, RunKind};
use crate::state::shelf::Record as _;
use crate::store::StoreError;

/// The order to serve a run.
#[must_use]
pub(crate) fn open_session(tables: &Tables, config: &MulticastConfig, run: &Run) -> OpenSession {
    let kind = match run.kind {
        RunKind::Deploy { .. } => SessionKind::Deploy,
        RunKind::Capture => SessionKind::Capture,
    };
    let manifest_id = versions::of_run(tables, run)
        .map(|fixed| fixed.manifest.as_bytes().to_vec())
        .unwrap_or_default();
    let host = tables.hosts().get(run.host.get());
    OpenSession {
        host_name: host.map(|host| host.name.clone()).unwrap_or_default(),
        task_id: run.task.get(),
        kind: kind.into(),
        host_id: run.host.get(),
        image_id: run.image.get(),
        manifest_id,
        deadline_unix_ms: run.deadline().as_millis(),
        traceparent: run.traceparent.clone().unwrap_or_default(),
        client_fingerprint: run
            .client_fingerprint
            .map(|print| print.to_vec())
            .unwrap_or_default(),
        multicast: multicast_order(tables, config, run),
        incarnation: run.incarnation,
        session_limit: session_limit(tables, config, run),
    }
}

/// What limits the session of a deploy on its node, also where that has no multicast group.
fn session_limit(tables: &Tables, config: &MulticastConfig, run: &Run) -> Option<SessionLimit> {
    let node = run
        .node()
        .filter(|_| matches!(run.kind, RunKind::Deploy { .. }))?;
    let session = multicast::session_of(tables, run.task)?;
    multicast::limit(tables, config, session, node)
}

/// The terms of a deploy that belongs to an active session.
fn multicast_order(tables: &Tables, config: &MulticastConfig, run: &Run) -> Option<MulticastOrder> {
    let node = run
        .node()
        .filter(|_| matches!(run.kind, RunKind::Deploy { .. }))?;
    multicast::order(
        tables,
        config,
        multicast::session_of(tables, run.task)?,
        node,
    )
}

/// Everything that the node should have: its sessions, its copies, and the images that it must not
/// delete.
#[must_use]
pub(crate) fn reconcile(
    tables: &Tables,
    config: &MulticastConfig,
    node: StorageNodeId,
) -> Reconcile {
    let sessions = tables
        .runs()
        .active()
        .filter(|run| run.node() == Some(node));
    let sessions = sessions
        .map(|run| open_session(tables, config, run))
        .collect();
    let contents = tables
        .contents()
        .iter()
        .flat_map(|content| content.versions())
        .filter(|content| content.nodes.contains(&node))
        .map(|c| (c.image, c.manifest));
    // A deploy continues with the version with which it started, even when that is no longer kept.
    let in_use = tables
        .runs()
        .active()
        .filter_map(|run| Some((run.image, versions::of_run(tables, run)?.manifest)));
    let mut keep: Vec<(ImageId, ManifestId)> = contents.chain(in_use).collect();
    keep.sort_unstable();
    keep.dedup();
    let keep = keep
        .into_iter()
        .map(|(image, id)| StoredManifest {
            image_id: image.get(),
            manifest_id: id.as_bytes().to_vec(),
            ..StoredManifest::default()
        })
        .collect();
    let replicas = replication::orders::of_node(tables, node, Timestamp::now());
    Reconcile {
        sessions,
        keep,
        controllers: Some(controllers(tables)),
        replicas: Some(replicas),
        further: None,
        behind: false,
    }
}

/// Where agents reach the controllers that stay. Several may be behind one address.
#[must_use]
pub(crate) fn controllers(tables: &Tables) -> Controllers {
    Controllers {
        links: links_beside(tables, ""),
    }
}

/// The links of the controllers that stay, without this one. Each once.
#[must_use]
pub(crate) fn links_beside(tables: &Tables, own: &str) -> Vec<String> {
    let stay = tables.controllers().iter();
    let stay = stay.filter(|controller| !controller.leaving && controller.id != own);
    let links: BTreeSet<String> = stay.map(|controller| controller.link.clone()).collect();
    links.into_iter().collect()
}

/// Sends the node the current state of the tables, which is this move or a later one: the order of
/// an assignment must not undo a check-in that overtook it.
fn tell(
    ctx: &Ctx,
    task: TaskId,
    node: StorageNodeId,
    order: impl FnOnce(&Tables, &Run) -> Message,
) -> Result<(), SendError> {
    ctx.links.send_with(node, || {
        ctx.state.read(|tables| {
            tables
                .runs()
                .get(&task)
                .filter(|run| run.node() == Some(node))
                .map(|run| order(tables, run))
        })
    })
}

/// Orders the node to serve a task, if the task is still assigned to it.
pub(crate) fn tell_open(ctx: &Ctx, task: TaskId, node: StorageNodeId) -> Result<(), SendError> {
    tell(ctx, task, node, |tables, run| {
        Message::Open(open_session(tables, &ctx.settings.multicast, run))
    })
}

/// Tells the node which client it may serve for a task, if it still has it.
pub(crate) fn tell_admit(ctx: &Ctx, task: TaskId, node: StorageNodeId) -> Result<(), SendError> {
    tell(ctx, task, node, |tables, run| match run.kind {
        // The session that is open there may be for another version of the image.
        RunKind::Deploy { .. } => Message::Open(open_session(tables, &ctx.settings.multicast, run)),
        RunKind::Capture => Message::Admit(admit(run)),
    })
}

/// Tells the node to serve a task no longer that another one serves, or none for now.
pub(crate) fn tell_withdrawn(
    ctx: &Ctx,
    task: TaskId,
    node: StorageNodeId,
) -> Result<(), SendError> {
    ctx.links.send_with(node, || {
        let is_elsewhere = ctx.state.read(|tables| is_elsewhere(tables, task, node));
        (is_elsewhere == Some(true)).then(|| Message::Cancel(withdrawal(task)))
    })
}

/// Whether an active task is not, or no longer, with this node; `None` once it has ended.
pub(crate) fn is_elsewhere(tables: &Tables, task: TaskId, node: StorageNodeId) -> Option<bool> {
    let run = tables.runs().get(&task).filter(|run| !run.is_finished())?;
    Some(run.node() != Some(node))
}

/// Whether the tables show the task as it is stored at this moment.
///
/// # Errors
/// As the store.
pub(crate) async fn is_shown(ctx: &Ctx, task: TaskId) -> Result<bool, StoreError> {
    let stored = ctx.state.store().get(&Run::key_of(&task)).await?;
    let shown = |tables: &Tables| tables.runs().get(&task).map(|run| run.modified);
    Ok(stored.map(|entry| entry.modified) == ctx.state.read(shown))
}

/// The session ends, and the task does not.
fn withdrawal(task: TaskId) -> CancelSession {
    CancelSession {
        task_id: task.get(),
        reason: "the storage node does not serve the task now".to_owned(),
        withdrawn: true,
    }
}

fn admit(run: &Run) -> AdmitClient {
    let client_fingerprint = run
        .client_fingerprint
        .map(|print| print.to_vec())
        .unwrap_or_default();
    AdmitClient {
        task_id: run.task.get(),
        client_fingerprint,
    }
}

/// Tells the node to end the session of a task that has ended, or was deleted. A node that has ended it
/// itself does nothing.
pub(crate) fn tell_ended(ctx: &Ctx, task: TaskId, node: StorageNodeId) -> Result<(), SendError> {
    ctx.links.send_with(node, || {
        let reason = ctx.state.read(|tables| why_ended(tables, task))?;
        Some(Message::Cancel(CancelSession {
            task_id: task.get(),
            reason,
            withdrawn: false,
        }))
    })
}

/// `None` for an active task.
fn why_ended(tables: &Tables, task: TaskId) -> Option<String> {
    let Some(run) = tables.runs().get(&task) else {
        return Some("the task was deleted".to_owned());
    };
    let TaskState::Finished { outcome, .. } = run.life.state() else {
        return None;
    };
    Some(match outcome {
        Outcome::Complete => "the task is complete".to_owned(),
        Outcome::Failed { reason, .. } | Outcome::Cancelled { reason } => reason.clone(),
    })
}

/// Sends every connected node its sessions again.
pub(crate) fn repeat(ctx: &Ctx) {
    let online: BTreeSet<StorageNodeId> = ctx.links.online().into_iter().collect();
    let assigned: Vec<(StorageNodeId, TaskId)> = ctx.state.read(|tables| {
        let active = tables.runs().active();
        let assigned = active.filter_map(|run| Some((run.node()?, run.task)));
        assigned.filter(|(node, _)| online.contains(node)).collect()
    });
    for (node, task) in assigned {
        if let Err(refused) = tell_open(ctx, task, node) {
            debug!(%node, %task, error = %chain(&refused), "could not repeat an order");
        }
    }
}
