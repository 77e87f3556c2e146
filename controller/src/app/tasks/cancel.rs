//! Cancelling tasks: exactly those that were named, row and run together.

use std::sync::Arc;

use crate::state::classes::task::{end_run, state};
use crate::state::classes::{Group, GroupAssociation, Host, Task};
use crate::state::{Draft, Refusal, Row, State, Tables};

/// Tasks per transaction: an etcd transaction takes 128 operations and each task needs two.
const TASKS_AT_ONCE: usize = 32;

/// Cancels one task; one that has ended already is left as it is.
///
/// # Errors
/// [`Refusal::NotFound`], or what the store cannot do.
pub async fn cancel_task(state: &State, task: u32) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let row = draft.tables().tasks().get(task).ok_or(Refusal::NotFound { class: "task", id: task })?;
            cancel_in(draft, row, "cancelled by request")
        })
        .await
}

/// Cancels the active tasks of a host.
///
/// # Errors
/// [`Refusal::NothingToCancel`] when it has none.
pub async fn cancel_host(state: &State, host: u32) -> Result<(), Refusal> {
    let tasks = state.read(|tables| {
        tables.of::<Host>().get(host).ok_or(Refusal::NotFound { class: "host", id: host })?;
        Ok::<_, Refusal>(active_of(tables, host))
    })?;
    if tasks.is_empty() {
        return Err(Refusal::NothingToCancel(format!("host {host} has no active task")));
    }
    cancel_all(state, &tasks).await
}

/// Cancels the active tasks of every host of a group.
///
/// # Errors
/// [`Refusal::NothingToCancel`] when the group has hosts and none of them has an active task.
pub async fn cancel_group(state: &State, group: u32) -> Result<(), Refusal> {
    let (members, tasks) = state.read(|tables| {
        tables.of::<Group>().get(group).ok_or(Refusal::NotFound { class: "group", id: group })?;
        let members = tables.of::<GroupAssociation>().by(GroupAssociation::BY_GROUP, group.into());
        let hosts: Vec<u32> = members.map(|member| member.host).collect();
        let tasks: Vec<u32> = hosts.iter().flat_map(|host| active_of(tables, *host)).collect();
        Ok::<_, Refusal>((hosts.len(), tasks))
    })?;
    if members > 0 && tasks.is_empty() {
        return Err(Refusal::NothingToCancel(format!("no host of group {group} has an active task")));
    }
    cancel_all(state, &tasks).await
}

/// Cancels the active tasks that `chosen` picks.
///
/// # Errors
/// What the store cannot do.
pub async fn cancel_active(state: &State, chosen: impl Fn(&Row<Task>) -> bool) -> Result<(), Refusal> {
    let pick = |tables: &Tables| -> Vec<u32> {
        let active = tables.tasks().by(Task::ACTIVE, 0);
        active.filter(|task| chosen(task)).map(|task| task.id).collect()
    };
    let tasks = state.read(pick);
    cancel_all(state, &tasks).await
}

fn active_of(tables: &Tables, host: u32) -> Vec<u32> {
    tables.tasks().by(Task::ACTIVE_BY_HOST, host.into()).map(|task| task.id).collect()
}

async fn cancel_all(state: &State, tasks: &[u32]) -> Result<(), Refusal> {
    for part in tasks.chunks(TASKS_AT_ONCE) {
        state
            .write(|draft| {
                let rows: Vec<Arc<Row<Task>>> =
                    part.iter().filter_map(|id| draft.tables().tasks().get(*id).cloned()).collect();
                rows.iter().try_for_each(|row| cancel_in(draft, row, "cancelled by request"))
            })
            .await?;
    }
    Ok(())
}

pub(super) fn cancel_in(draft: &mut Draft<'_>, row: &Row<Task>, reason: &str) -> Result<(), Refusal> {
    if !row.is_active() {
        return Ok(());
    }
    end_run(draft, row, reason);
    draft.update(row, &Task { state: state::CANCELLED, ..Task::clone(row) })
}
