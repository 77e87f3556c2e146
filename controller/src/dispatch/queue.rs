//! The order in which waiting tasks get places.
//!
//! Forced tasks come first, then those whose machine is there. Among equals the rooms take turns: a
//! group of thirty hosts does not make the single host of another group wait for all of them. A
//! room's turn comes later for each place that it has already.

use std::collections::BTreeMap;

use foghorn_lifecycle::{Client, TaskState};
use foghorn_types::SessionId;

use super::room::Room;
use super::snapshot::{RunView, Snapshot};

/// Indices of all runs: those that have a node, then the waiting ones in the order of the queue.
pub(super) fn order(snapshot: &Snapshot) -> Vec<usize> {
    let runs = &snapshot.runs;
    let (mut waiting, mut order): (Vec<usize>, Vec<usize>) =
        (0..runs.len()).partition(|&at| waits(&runs[at]));
    let mut turns = Turns::default();
    for &at in &order {
        turns.next(&runs[at]);
    }
    // Stable: within a class the oldest of a room comes first.
    waiting.sort_by_key(|&at| class(&runs[at]));
    let turn: BTreeMap<usize, u32> = waiting
        .iter()
        .map(|&at| (at, turns.next(&runs[at])))
        .collect();
    waiting.sort_by_key(|at| (class(&runs[*at]), turn[at], *at));
    order.extend(waiting);
    order
}

fn waits(run: &RunView) -> bool {
    matches!(run.life.state(), TaskState::Queued { .. })
}

fn class(run: &RunView) -> (bool, bool) {
    let present = run.life.state().client() == Some(Client::CheckedIn);
    (!run.forced, !present)
}

/// How many places each room has or waits for. A multicast session is one of them.
#[derive(Default)]
struct Turns {
    taken: BTreeMap<Room, u32>,
    sessions: BTreeMap<(Room, SessionId), u32>,
}

impl Turns {
    fn next(&mut self, run: &RunView) -> u32 {
        let taken = self.taken.entry(run.room).or_default();
        let Some(session) = run.session else {
            *taken += 1;
            return *taken;
        };
        *self.sessions.entry((run.room, session)).or_insert_with(|| {
            *taken += 1;
            *taken
        })
    }
}
