//! Decides what happens to every task next. Pure: a snapshot in, moves out.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_lifecycle::{Client, Outcome, TaskEvent, TaskKind, TaskState};
use foghorn_types::{StorageGroupId, StorageNodeId, TaskId, Timestamp};

use super::load::Load;
use super::queue;
use super::snapshot::{LinkState, NodeView, RunView, Snapshot};
use crate::config::Limits;
use crate::state::run::RunKind;

/// One event for one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    pub task: TaskId,
    pub event: TaskEvent,
}

/// At most one move for each task; the consequences of a move are handled in the next round.
#[must_use]
pub fn plan(snapshot: &Snapshot, limits: Limits, now: Timestamp) -> Vec<Move> {
    let mut load = Load::of(snapshot);
    let (mut moves, mut waiting) = (BTreeMap::new(), Vec::new());
    for &at in &queue::order(snapshot) {
        let run = &snapshot.runs[at];
        match next_event(snapshot, run, &mut load, limits, now) {
            Some(event) => drop(moves.insert(at, event)),
            None => waiting.push(run),
        }
    }
    for (at, event) in withdrawn(snapshot, &waiting, &load, limits.node_grace) {
        moves.entry(at).or_insert(event);
    }
    let step = |(at, event): (usize, TaskEvent)| Move {
        task: snapshot.runs[at].task,
        event,
    };
    moves.into_iter().map(step).collect()
}

/// A machine that is there does not wait for one that is still switched off: that one's place is
/// taken back, the latest first. What is assigned to a node that takes no more tasks goes elsewhere.
fn withdrawn(
    snapshot: &Snapshot,
    waiting: &[&RunView],
    load: &Load,
    grace: Duration,
) -> Vec<(usize, TaskEvent)> {
    let mut back = Vec::new();
    let mut idle: Vec<(usize, &RunView, StorageNodeId)> = Vec::new();
    for (at, run) in snapshot.runs.iter().enumerate() {
        let TaskState::Assigned { node } = *run.life.state() else {
            continue;
        };
        let closed = snapshot.nodes.get(&node).is_some_and(|view| !view.enabled);
        let elsewhere = || {
            candidates(snapshot, run, grace)
                .any(|(id, view)| id != node && view.link == LinkState::Up)
        };
        if closed && run.life.kind() == TaskKind::Deploy && elsewhere() {
            back.push((at, TaskEvent::Withdrawn { node }));
        } else if run.session.is_none() && !run.forced {
            idle.push((at, run, node));
        }
    }
    for run in waiting {
        if *run.life.state()
            != (TaskState::Queued {
                client: Client::CheckedIn,
            })
        {
            continue;
        }
        let takes = |(_, idle, node): &(usize, &RunView, StorageNodeId)| {
            idle.task != run.task
                && load.is_full(*node, snapshot)
                && candidates(snapshot, run, grace)
                    .any(|(id, view)| id == *node && view.link == LinkState::Up)
        };
        if let Some(place) = idle.iter().rposition(takes) {
            let (at, _, node) = idle.remove(place);
            back.push((at, TaskEvent::Withdrawn { node }));
        }
    }
    back
}

fn next_event(
    snapshot: &Snapshot,
    run: &RunView,
    load: &mut Load,
    limits: Limits,
    now: Timestamp,
) -> Option<TaskEvent> {
    if now >= run.life.deadline() {
        return Some(TaskEvent::DeadlinePassed);
    }
    let grace = limits.node_grace;
    match run.life.state() {
        TaskState::Queued { .. } => {
            let mut willing = candidates(snapshot, run, grace).peekable();
            if willing.peek().is_none() && !run.life.parts().faults.is_empty() {
                return Some(TaskEvent::NoNodeLeft);
            }
            let willing = willing.filter(|(_, view)| is_known(run, view));
            let node = load.place(run, willing, grace)?;
            Some(TaskEvent::Assigned { node })
        }
        TaskState::Assigned { node } => {
            lost(snapshot, run, *node, limits).or_else(|| lacks(snapshot, run, *node, grace))
        }
        TaskState::CheckedIn { node } | TaskState::Running { node } => {
            lost(snapshot, run, *node, limits).or_else(|| stalled(snapshot, run, *node, limits))
        }
        TaskState::Finished { .. } => None,
    }
}

/// Until a node has said what it holds, nobody knows what a capture would replace.
pub(super) fn is_known(run: &RunView, view: &NodeView) -> bool {
    run.kind != RunKind::Capture || view.reported
}

/// Nodes that may serve the run, whether connected or not.
pub(super) fn candidates<'a>(
    snapshot: &'a Snapshot,
    run: &'a RunView,
    grace: Duration,
) -> Box<dyn Iterator<Item = (StorageNodeId, &'a NodeView)> + 'a> {
    let usable = snapshot
        .nodes
        .iter()
        .map(|(id, view)| (*id, view))
        .filter(|(id, view)| {
            run.tiers.contains(&view.group)
                && view.enabled
                && !view.revoked
                && !run.life.has_failed_at(*id)
        });
    match run.kind {
        RunKind::Deploy { .. } => {
            let tier = serving_tier(
                usable.clone().filter(|(_, view)| holds(view, run)),
                run,
                grace,
            );
            Box::new(usable.filter(move |(_, view)| {
                holds(view, run) && tier.is_none_or(|tier| tier == view.group)
            }))
        }
        // Images are captured to one node: the master of the group, or its oldest node if it has no
        // master.
        RunKind::Capture => Box::new(
            usable
                .min_by_key(|(id, view)| (!view.master, *id))
                // What the store does not know may be newer than the store: it is not replaced.
                .filter(|(_, view)| !view.unknown.contains(&run.image))
                .into_iter(),
        ),
    }
}

/// The first site with a node that holds the image and answers, or has done so a moment ago: a host
/// waits for a place at its own site, and not for a site that is gone. `None` if there is none.
fn serving_tier<'a>(
    nodes: impl Iterator<Item = (StorageNodeId, &'a NodeView)> + Clone,
    run: &RunView,
    grace: Duration,
) -> Option<StorageGroupId> {
    let answers = |view: &NodeView| match view.link {
        LinkState::Up => view.max_clients > 0,
        LinkState::Down { since } => since < grace,
    };
    let mut tiers = run.tiers.iter().copied();
    tiers.find(|tier| {
        nodes
            .clone()
            .any(|(_, view)| view.group == *tier && answers(view))
    })
}

fn holds(view: &NodeView, run: &RunView) -> bool {
    match run.kind {
        RunKind::Deploy { manifest, .. } => {
            manifest.is_some_and(|manifest| view.holds.contains(&(run.image, manifest)))
        }
        RunKind::Capture => true,
    }
}

/// The image was captured again, to another node, while the machine is still switched off.
fn lacks(
    snapshot: &Snapshot,
    run: &RunView,
    node: StorageNodeId,
    grace: Duration,
) -> Option<TaskEvent> {
    let view = snapshot.nodes.get(&node)?;
    let other = || {
        candidates(snapshot, run, grace)
            .any(|(id, other)| id != node && other.link == LinkState::Up)
    };
    (!holds(view, run) && other()).then_some(TaskEvent::NodeLacks { node })
}

fn lost(
    snapshot: &Snapshot,
    run: &RunView,
    node: StorageNodeId,
    limits: Limits,
) -> Option<TaskEvent> {
    let deploy = run.life.kind() == TaskKind::Deploy;
    let grace = limits.node_grace;
    match snapshot.nodes.get(&node) {
        Some(view) if !view.revoked => {
            let gone = matches!(view.link, LinkState::Down { since } if since >= grace);
            // When no other node can take over, waiting is best: the transfer may still be running
            // despite the broken link.
            let replaced = || {
                candidates(snapshot, run, grace)
                    .any(|(id, other)| id != node && other.link == LinkState::Up)
            };
            (gone && deploy && replaced()).then_some(TaskEvent::NodeLost { node })
        }
        _ if deploy => Some(TaskEvent::NodeLost { node }),
        _ => {
            let reason = "the storage node was deleted".to_owned();
            Some(TaskEvent::Ended {
                node,
                outcome: Outcome::Failed {
                    reason,
                    node_at_fault: true,
                },
            })
        }
    }
}

fn stalled(
    snapshot: &Snapshot,
    run: &RunView,
    node: StorageNodeId,
    limits: Limits,
) -> Option<TaskEvent> {
    let up = snapshot
        .nodes
        .get(&node)
        .is_some_and(|view| view.link == LinkState::Up);
    (up && run.quiet >= limits.stall).then(|| TaskEvent::Stalled {
        reason: run.trouble.clone().unwrap_or_else(|| {
            format!(
                "no data was transferred for {} seconds",
                run.quiet.as_secs()
            )
        }),
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
