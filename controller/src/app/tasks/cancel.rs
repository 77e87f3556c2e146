//! Cancels tasks: exactly the given ones, with row, run and snapins together.

use std::sync::Arc;

use foghorn_types::{GroupId, HostId, Timestamp};

use super::snapins::Pending;
use crate::state::classes::task::state;
use crate::state::classes::{Group, GroupAssociation, Host, SnapinJob, SnapinTask, Task};
use crate::state::rules::task::end_run;
use crate::state::{Draft, Refusal, Row, State, Tables};

/// Tasks per transaction: an etcd transaction takes 128 operations and each task needs three, with
/// its run and its snapin job.
const TASKS_AT_ONCE: usize = 32;

/// What happens to the snapin jobs of a task's host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Jobs {
    End,
    /// Their tasks end and the jobs stay as they are, as in FOG's bulk cancel.
    Stay,
}

/// Cancels one task; one that has ended already is left as it is.
///
/// # Errors
/// [`Refusal::NotFound`], or an error of the store.
pub async fn cancel_task(state: &State, task: u32) -> Result<(), Refusal> {
    state.read(|tables| {
        tables.tasks().get(task).map(drop).ok_or(Refusal::NotFound {
            class: "task",
            id: task,
        })
    })?;
    cancel_all(state, &[task], Jobs::End).await
}

/// Cancels the active tasks of a host.
///
/// # Errors
/// [`Refusal::NothingToCancel`] when it has none.
pub async fn cancel_host(state: &State, host: HostId) -> Result<(), Refusal> {
    let tasks = state.read(|tables| {
        tables
            .of::<Host>()
            .get(host.get())
            .ok_or(Refusal::NotFound {
                class: "host",
                id: host.get(),
            })?;
        Ok::<_, Refusal>(active_of(tables, host))
    })?;
    if tasks.is_empty() {
        return Err(Refusal::NothingToCancel(format!(
            "host {host} has no active task"
        )));
    }
    cancel_all(state, &tasks, Jobs::End).await
}

/// Cancels the active tasks of every host of a group.
///
/// # Errors
/// [`Refusal::NothingToCancel`] when the group has hosts and none of them has an active task.
pub async fn cancel_group(state: &State, group: GroupId) -> Result<(), Refusal> {
    let (members, tasks) = state.read(|tables| {
        tables
            .of::<Group>()
            .get(group.get())
            .ok_or(Refusal::NotFound {
                class: "group",
                id: group.get(),
            })?;
        let members = tables
            .of::<GroupAssociation>()
            .by(GroupAssociation::BY_GROUP, group.get().into());
        let hosts: Vec<_> = members.map(|member| HostId::new(member.host)).collect();
        let tasks: Vec<u32> = hosts
            .iter()
            .flatten()
            .flat_map(|host| active_of(tables, *host))
            .collect();
        Ok::<_, Refusal>((hosts.len(), tasks))
    })?;
    if members > 0 && tasks.is_empty() {
        return Err(Refusal::NothingToCancel(format!(
            "no host of group {group} has an active task"
        )));
    }
    cancel_all(state, &tasks, Jobs::End).await
}

/// Cancels the active tasks that `chosen` picks.
///
/// # Errors
/// When the store fails.
pub async fn cancel_active(
    state: &State,
    chosen: impl Fn(&Row<Task>) -> bool,
) -> Result<(), Refusal> {
    let pick = |tables: &Tables| -> Vec<u32> {
        let active = tables.tasks().by(Task::ACTIVE, 0);
        active
            .filter(|task| chosen(task))
            .map(|task| task.id)
            .collect()
    };
    let tasks = state.read(pick);
    cancel_all(state, &tasks, Jobs::Stay).await
}

/// Cancels one snapin job and its tasks; one that has ended already is left as it is.
///
/// # Errors
/// [`Refusal::NotFound`], or an error of the store.
pub(crate) async fn cancel_snapin_job(state: &State, job: u32) -> Result<(), Refusal> {
    let (now, mut pending) = (Timestamp::now(), Pending::default());
    state
        .write_in_steps(|draft| {
            if !draft.continues() {
                pending = Pending::default();
                let missing = Refusal::NotFound {
                    class: "snapinjob",
                    id: job,
                };
                let row = draft.tables().of::<SnapinJob>().get(job).ok_or(missing)?;
                if row.is_active() {
                    pending.end_job(draft, row)?;
                }
            }
            pending.settle(draft, now)
        })
        .await
}

/// Cancels the active tasks of the active snapin jobs that `chosen` picks. As on a FOG server the
/// jobs stay as they are.
///
/// # Errors
/// When the store fails.
pub(crate) async fn cancel_snapin_jobs(
    state: &State,
    chosen: impl Fn(&SnapinJob) -> bool,
) -> Result<(), Refusal> {
    let (now, mut pending) = (Timestamp::now(), Pending::default());
    state.read(|tables| {
        for job in tables
            .of::<SnapinJob>()
            .by(SnapinJob::ACTIVE, 0)
            .filter(|job| chosen(job))
        {
            pending.end_tasks_of(job.id);
        }
    });
    state
        .write_in_steps(|draft| pending.settle(draft, now))
        .await
}

/// Cancels one snapin task; one that has ended already is left as it is.
///
/// # Errors
/// [`Refusal::NotFound`], or an error of the store.
pub(crate) async fn cancel_snapin_task(state: &State, task: u32) -> Result<(), Refusal> {
    let now = Timestamp::now();
    state
        .write(|draft| {
            let missing = Refusal::NotFound {
                class: "snapintask",
                id: task,
            };
            let row = draft.tables().of::<SnapinTask>().get(task).ok_or(missing)?;
            if row.is_active() {
                draft.update(row, &row.cancelled(now))
            } else {
                Ok(())
            }
        })
        .await
}

/// Cancels the active snapin tasks that `chosen` picks.
///
/// # Errors
/// When the store fails.
pub(crate) async fn cancel_snapin_tasks(
    state: &State,
    chosen: impl Fn(&SnapinTask) -> bool,
) -> Result<(), Refusal> {
    let now = Timestamp::now();
    let tasks: Vec<u32> = state.read(|tables| {
        let active = tables.of::<SnapinTask>().by(SnapinTask::ACTIVE, 0);
        active
            .filter(|task| chosen(task))
            .map(|task| task.id)
            .collect()
    });
    for part in tasks.chunks(TASKS_AT_ONCE) {
        state
            .write(|draft| {
                let rows = part
                    .iter()
                    .filter_map(|id| draft.tables().of::<SnapinTask>().get(*id));
                let rows: Vec<_> = rows.filter(|row| row.is_active()).collect();
                rows.into_iter()
                    .try_for_each(|row| draft.update(row, &row.cancelled(now)))
            })
            .await?;
    }
    Ok(())
}

fn active_of(tables: &Tables, host: HostId) -> Vec<u32> {
    tables
        .tasks()
        .by(Task::ACTIVE_BY_HOST, host.get().into())
        .map(|task| task.id)
        .collect()
}

/// Cancels tasks by their ids; those that have ended or were deleted are skipped.
///
/// # Errors
/// When the store fails.
pub(crate) async fn cancel_each(state: &State, tasks: &[u32]) -> Result<(), Refusal> {
    cancel_all(state, tasks, Jobs::End).await
}

async fn cancel_all(state: &State, tasks: &[u32], jobs: Jobs) -> Result<(), Refusal> {
    for part in tasks.chunks(TASKS_AT_ONCE) {
        let (now, mut pending) = (Timestamp::now(), Pending::default());
        state
            .write_in_steps(|draft| {
                if !draft.continues() {
                    pending = Pending::default();
                    cancel_part(draft, part, jobs, &mut pending)?;
                }
                pending.settle(draft, now)
            })
            .await?;
    }
    Ok(())
}

fn cancel_part(
    draft: &mut Draft<'_>,
    tasks: &[u32],
    jobs: Jobs,
    pending: &mut Pending,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let rows: Vec<Arc<Row<Task>>> = tasks
        .iter()
        .filter_map(|id| tables.tasks().get(*id).cloned())
        .collect();
    for row in &rows {
        match jobs {
            Jobs::End => cancel_in(draft, row, "cancelled by request", pending)?,
            Jobs::Stay => {
                let active = tables
                    .of::<SnapinJob>()
                    .by(SnapinJob::ACTIVE_BY_HOST, row.host.into());
                active
                    .filter(|_| row.is_active() && row.carries_snapins())
                    .for_each(|job| pending.end_tasks_of(job.id));
                end_row(draft, row, "cancelled by request")?;
            }
        }
    }
    Ok(())
}

/// Cancels a task as part of a draft; one that has ended is left as it is.
///
/// # Errors
/// What the draft refuses.
pub(crate) fn cancel_in(
    draft: &mut Draft<'_>,
    row: &Row<Task>,
    reason: &str,
    pending: &mut Pending,
) -> Result<(), Refusal> {
    if row.is_active() {
        pending.end_with(draft, row)?;
    }
    end_row(draft, row, reason)
}

fn end_row(draft: &mut Draft<'_>, row: &Row<Task>, reason: &str) -> Result<(), Refusal> {
    if !row.is_active() {
        return Ok(());
    }
    end_run(draft, row, reason);
    draft.update(
        row,
        &Task {
            state: state::CANCELLED,
            ..Task::clone(row)
        },
    )
}
