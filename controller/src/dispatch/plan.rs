//! Decides what happens to every task next. Pure: a snapshot in, moves out.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_lifecycle::{Client, Outcome, TaskEvent, TaskKind, TaskState};
use foghorn_types::{StorageNodeId, TaskId, Timestamp};

use super::candidates::{Choices, candidates, holds, is_known};
use super::load::Load;
use super::queue;
use super::snapshot::{LinkState, RunView, Snapshot};
use crate::config::Limits;

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
    let mut choices = Choices::new(snapshot, limits.node_grace);
    let (mut moves, mut waiting) = (BTreeMap::new(), Vec::new());
    for &at in &queue::order(snapshot) {
        let run = &snapshot.runs[at];
        match next_event((snapshot, &mut choices), run, &mut load, limits, now) {
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

fn next_event<'a>(
    (snapshot, choices): (&'a Snapshot, &mut Choices<'a>),
    run: &'a RunView,
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
            let choice = choices.of(run);
            if choice.nodes.is_empty() && !run.life.parts().faults.is_empty() {
                return Some(TaskEvent::NoNodeLeft);
            }
            let willing = choice.nodes.iter().copied();
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

/// The image was captured again, to another node, while the machine is still switched off.
fn lacks(
    snapshot: &Snapshot,
    run: &RunView,
    node: StorageNodeId,
    grace: Duration,
) -> Option<TaskEvent> {
    let view = snapshot.nodes.get(&node)?;
    if view.link == LinkState::Elsewhere {
        // What it holds is better known there.
        return None;
    }
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
            // One that was given to it a moment ago was given by a controller that has its link, and
            // whose record will say so.
            let gone = matches!(view.link, LinkState::Down { since } if since >= grace)
                && run.with_node >= grace;
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
