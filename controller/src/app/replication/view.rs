//! How replication is getting on, for people.

use std::collections::BTreeSet;

use foghorn_types::{ImageId, ManifestId, StorageNodeId, Timestamp};

use super::plan::{Content, Need, Snapshot};
use super::snapshot;
use crate::agents::contents::Unverified;
use crate::agents::replicas::{CopyReport, Phase};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::replica::JobState;

/// An image on a node, or one that is to be there.
#[derive(Clone, PartialEq, Debug)]
pub struct Replica {
    pub image: ImageId,
    pub manifest: ManifestId,
    pub node: StorageNodeId,
    pub state: ReplicaState,
    /// Why it is not there; empty when it is.
    pub reason: String,
    /// The latest report of the node, while it copies.
    pub report: Option<CopyReport>,
    /// How far the node is with verifying what it has again.
    pub verifying: Option<Unverified>,
    /// When the next attempt is made, after one that has failed.
    pub retry_at: Option<Timestamp>,
    pub is_wanted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicaState {
    Missing,
    Copying,
    Ready,
    /// It is there, and does not count until the node has verified it again.
    Verifying,
    Damaged,
    Failed,
    Stopped,
}

/// The content of every image, on every node that holds it or is to hold it; of one image if it is
/// named.
#[must_use]
pub fn list(ctx: &Ctx, of: Option<ImageId>) -> Vec<Replica> {
    let live = ctx.live.nodes();
    ctx.state.read(|tables| {
        let now = snapshot::take(tables, &live, Timestamp::now());
        let is_present = |content: &&Content| {
            let present = tables.contents().get(&content.image);
            present.is_some_and(|present| present.manifest == content.manifest)
                && of.is_none_or(|of| of == content.image)
        };
        let mut all = Vec::new();
        for content in now.contents.iter().filter(is_present) {
            let nodes: BTreeSet<_> = content.wanted.union(&content.holders).copied().collect();
            let each = nodes.into_iter();
            all.extend(each.map(|node| replica(ctx, tables, &now, content, node)));
        }
        for replica in &mut all {
            if replica.state == ReplicaState::Verifying {
                let node = live.get(&replica.node);
                let unverified = node.and_then(|node| node.unverified.get(&replica.manifest));
                replica.verifying = unverified.cloned();
                if let Some(unverified) = unverified {
                    replica.reason.clone_from(&unverified.reason);
                }
            }
        }
        all
    })
}

fn replica(
    ctx: &Ctx,
    tables: &Tables,
    now: &Snapshot,
    content: &Content,
    node: StorageNodeId,
) -> Replica {
    let job = tables.replica_jobs().get(&(content.image, node));
    let job = job.filter(|job| job.manifest == content.manifest);
    let report = job
        .filter(|job| job.is_copying())
        .and_then(|job| ctx.live.replica_reports().get(job.copy));
    let (state, reason, retry_at) = match job.map(|job| &job.state) {
        Some(JobState::Copying) => (ReplicaState::Copying, waiting(report.as_ref()), None),
        Some(JobState::Failed {
            reason, retry_at, ..
        }) => (ReplicaState::Failed, reason.clone(), Some(*retry_at)),
        Some(JobState::Stopped { .. }) => (ReplicaState::Stopped, String::new(), None),
        None => at_rest(now, content, node),
    };
    Replica {
        image: content.image,
        manifest: content.manifest,
        node,
        state,
        reason,
        report,
        verifying: None,
        retry_at,
        is_wanted: content.wanted.contains(&node),
    }
}

fn waiting(report: Option<&CopyReport>) -> String {
    match report {
        None => "the node has not reported yet".to_owned(),
        Some(report) if report.phase == Phase::Waiting => report.problem.clone(),
        Some(_) => String::new(),
    }
}

/// Of one that nobody copies at present.
fn at_rest(
    now: &Snapshot,
    content: &Content,
    id: StorageNodeId,
) -> (ReplicaState, String, Option<Timestamp>) {
    let node = now.nodes.get(&id);
    let state = match now.need(content, id) {
        Some(Need::Heal) => ReplicaState::Damaged,
        None if now.has(content, id) && now.is_verified(content, id) => {
            return (ReplicaState::Ready, String::new(), None);
        }
        None if now.has(content, id) => {
            let reason = "the node is back, and has not said yet what it holds";
            return (ReplicaState::Verifying, reason.to_owned(), None);
        }
        _ => ReplicaState::Missing,
    };
    let lost = content.holders.contains(&id) && state == ReplicaState::Missing;
    let reason = match node {
        None => "the node has not joined yet",
        Some(node) if !node.trusted => "the node was shut out",
        Some(node) if !node.online => "the node is not connected",
        _ if !now.has_giver(content, id) => "no other connected node has it",
        _ if lost => "the node has lost it, and waits for its turn to get it again",
        _ => "waits for its turn",
    };
    (state, reason.to_owned(), None)
}
