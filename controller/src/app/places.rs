//! Places on storage nodes: `maxClients` of a node is how many transfers it has at a time.
//!
//! A place is no record of its own: a task has one as long as it is assigned to a node, so whatever
//! ends a task or takes it from its node gives the place back, and nothing can leak.

use std::collections::HashSet;

use foghorn_types::{StorageNodeId, TaskId};

use super::{holds, multicast};
use crate::config::MulticastConfig;
use crate::state::classes::{StorageNode, Task};
use crate::state::{Draft, Refusal, Tables, TaskRefusal};

/// Lets a task have a place on the node. Controllers that give places of one node away at the same
/// time take turns, and the later ones see what the earlier ones did.
///
/// # Errors
/// When the node has no free place, takes no more tasks or was deleted.
pub(crate) fn take(
    draft: &mut Draft<'_>,
    config: &MulticastConfig,
    task: TaskId,
    node: StorageNodeId,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let row = tables.storage_nodes().get(node.get());
    let Some(row) = row.filter(|row| holds::takes_tasks(tables, row)) else {
        return Err(TaskRefusal::NoPlace.into());
    };
    draft.unchanged(row);
    draft.take_turn_of::<StorageNode>(row.id);
    let is_forced = |task: TaskId| {
        let row = tables.tasks().get(task.get());
        row.is_some_and(|row| row.is_forced.is_yes())
    };
    let most = u64::try_from(row.max_clients).unwrap_or(0);
    if is_forced(task) || taken(tables, config, node, Some(task)) < most {
        Ok(())
    } else {
        Err(TaskRefusal::NoPlace.into())
    }
}

/// Places of the node that tasks have; of others than `but`, and than the multicast session that it
/// is part of.
#[must_use]
pub(crate) fn taken(
    tables: &Tables,
    config: &MulticastConfig,
    node: StorageNodeId,
    but: Option<TaskId>,
) -> u64 {
    let session = |task| {
        let row = multicast::session_of(tables, task).filter(|_| config.enabled);
        row.and_then(|row| row.key())
    };
    let own = but.and_then(session);
    let (mut alone, mut together) = (0_u64, HashSet::new());
    for row in tables.tasks().by(Task::BY_NODE, node.get().into()) {
        let Some(other) = row.key().filter(|other| Some(*other) != but) else {
            continue;
        };
        let run = tables.runs().get(&other);
        if run.is_none_or(|run| run.node() != Some(node)) {
            continue;
        }
        match session(other) {
            None => alone += 1,
            Some(session) if Some(session) == own => return 0,
            Some(session) => drop(together.insert(session)),
        }
    }
    alone + together.len() as u64
}
