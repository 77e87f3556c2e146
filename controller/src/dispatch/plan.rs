//! Decides what happens to every task next. Pure: a snapshot in, moves out.

use foghorn_lifecycle::{Outcome, TaskEvent, TaskKind, TaskState};
use foghorn_types::{StorageNodeId, TaskId, Timestamp};

use super::load::Load;
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
    snapshot
        .runs
        .iter()
        .filter_map(|run| {
            Some(Move {
                task: run.task,
                event: next_event(snapshot, run, &mut load, limits, now)?,
            })
        })
        .collect()
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
    match run.life.state() {
        TaskState::Queued { client } => {
            let mut willing = candidates(snapshot, run).peekable();
            if willing.peek().is_none() && !run.life.parts().faults.is_empty() {
                return Some(TaskEvent::NoNodeLeft);
            }
            // Until a node has said what it holds, nobody knows what a capture would replace.
            let known = |(_, view): &(StorageNodeId, &NodeView)| {
                run.kind != RunKind::Capture || view.reported
            };
            let willing = willing.filter(known);
            let node = load.place(run, willing, *client, limits.node_grace)?;
            Some(TaskEvent::Assigned { node })
        }
        TaskState::Assigned { node } => {
            lost(snapshot, run, *node, limits).or_else(|| lacks(snapshot, run, *node))
        }
        TaskState::CheckedIn { node } | TaskState::Running { node } => {
            lost(snapshot, run, *node, limits).or_else(|| stalled(snapshot, run, *node, limits))
        }
        TaskState::Finished { .. } => None,
    }
}

/// Nodes that may serve the run, whether connected or not.
fn candidates<'a>(
    snapshot: &'a Snapshot,
    run: &'a RunView,
) -> Box<dyn Iterator<Item = (StorageNodeId, &'a NodeView)> + 'a> {
    let usable = snapshot
        .nodes
        .iter()
        .map(|(id, view)| (*id, view))
        .filter(|(id, view)| {
            view.group == run.storage_group
                && view.enabled
                && !view.revoked
                && !run.life.has_failed_at(*id)
        });
    match run.kind {
        RunKind::Deploy { .. } => Box::new(usable.filter(move |(_, view)| holds(view, run))),
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

fn holds(view: &NodeView, run: &RunView) -> bool {
    match run.kind {
        RunKind::Deploy { manifest, .. } => {
            manifest.is_some_and(|manifest| view.holds.contains(&(run.image, manifest)))
        }
        RunKind::Capture => true,
    }
}

/// The image was captured again, to another node, while the machine is still switched off.
fn lacks(snapshot: &Snapshot, run: &RunView, node: StorageNodeId) -> Option<TaskEvent> {
    let view = snapshot.nodes.get(&node)?;
    let other =
        || candidates(snapshot, run).any(|(id, other)| id != node && other.link == LinkState::Up);
    (!holds(view, run) && other()).then_some(TaskEvent::NodeLacks { node })
}

fn lost(
    snapshot: &Snapshot,
    run: &RunView,
    node: StorageNodeId,
    limits: Limits,
) -> Option<TaskEvent> {
    let deploy = run.life.kind() == TaskKind::Deploy;
    match snapshot.nodes.get(&node) {
        Some(view) if !view.revoked => {
            let gone = matches!(view.link, LinkState::Down { since } if since >= limits.node_grace);
            // When no other node can take over, waiting is best: the transfer may still be running
            // despite the broken link.
            let replaced = || {
                candidates(snapshot, run)
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
