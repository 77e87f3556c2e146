//! Execution of snapins on hosts: the next task, and its result.
//!
//! A host requests one snapin task after the other. A task that it has taken and not reported is
//! returned again, so a host that restarted in the middle loses nothing. When no task is left, the
//! job ends, and also the task that created it if that was its only purpose.

use foghorn_types::{HostId, SnapinId, Timestamp};

use super::tasks::Purpose;
use crate::state::classes::task::state as task_state;
use crate::state::classes::{Host, Snapin, SnapinJob, SnapinTask, Task};
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, Row, State, Tables};

/// A host has a handful of open jobs at most; more are looked at when these have ended.
const JOBS_AT_ONCE: usize = 16;
/// Result of a snapin that must not be run.
const DISABLED: &str = "the snapin is disabled";
const GONE: &str = "the snapin was deleted";

/// The next action of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// It is being imaged, or is about to be: its snapins come afterwards.
    Later,
    Nothing,
    Run(Box<(SnapinTask, SnapinId, Snapin)>),
}

/// The result of a run as reported by the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapinOutcome {
    pub exit_code: i32,
    /// At most 250 characters are kept.
    pub details: String,
}

/// Returns the next snapin task of a host and marks it as taken.
///
/// # Errors
/// [`Refusal::NotFound`], or an error of the store.
pub async fn next(state: &State, host: HostId, now: Timestamp) -> Result<Next, Refusal> {
    loop {
        let step = state.write(|draft| next_in(draft, host, now)).await?;
        if let Some(next) = step {
            return Ok(next);
        }
    }
}

/// One step of [`next`]. `None`: something was put aside or ended, and there may be more.
pub(super) fn next_in(
    draft: &mut Draft<'_>,
    host: HostId,
    now: Timestamp,
) -> Result<Option<Next>, Refusal> {
    let tables = draft.tables();
    tables
        .of::<Host>()
        .get(host.get())
        .ok_or(Refusal::NotFound {
            class: "host",
            id: host.get(),
        })?;
    if is_imaging(tables, host) {
        return Ok(Some(Next::Later));
    }
    let Some((job, task)) = open_tasks(tables, host).next() else {
        settle(draft, host, None)?;
        return Ok(Some(Next::Nothing));
    };
    let (id, snapin) = match runnable(tables, task) {
        Ok(found) => found,
        Err(details) => {
            draft.update(
                task,
                &SnapinTask {
                    details: details.to_owned(),
                    ..task.cancelled(now)
                },
            )?;
            return Ok(None);
        }
    };
    let taken = SnapinTask {
        state: task_state::IN_PROGRESS,
        checkin: now.into(),
        ..SnapinTask::clone(task)
    };
    if task.state != taken.state {
        draft.update(task, &taken)?;
        advance(draft, job, host)?;
    }
    let snapin = Snapin::clone(snapin);
    Ok(Some(Next::Run(Box::new((taken, id, snapin)))))
}

/// The snapin task that a host has taken and not reported, with its snapin.
pub(super) fn current(tables: &Tables, host: HostId) -> Option<(u32, SnapinId)> {
    if is_imaging(tables, host) {
        return None;
    }
    let (_, task) = open_tasks(tables, host).next()?;
    let (snapin, _) = runnable(tables, task).ok()?;
    (task.state == task_state::IN_PROGRESS).then_some((task.id, snapin))
}

/// The snapin of a task, or why it cannot be run.
fn runnable<'t>(
    tables: &'t Tables,
    task: &SnapinTask,
) -> Result<(SnapinId, &'t Snapin), &'static str> {
    let id = SnapinId::new(task.snapin).ok_or(GONE)?;
    let snapin = tables.of::<Snapin>().get(id.get()).ok_or(GONE)?;
    if snapin.is_enabled == Flag::No {
        return Err(DISABLED);
    }
    Ok((id, snapin))
}

/// The job and the task that brought it are under way.
fn advance(draft: &mut Draft<'_>, job: &Row<SnapinJob>, host: HostId) -> Result<(), Refusal> {
    if job.state != task_state::IN_PROGRESS {
        draft.update(
            job,
            &SnapinJob {
                state: task_state::IN_PROGRESS,
                ..SnapinJob::clone(job)
            },
        )?;
    }
    for task in
        snapin_tasks_of(draft.tables(), host).filter(|task| task.state != task_state::IN_PROGRESS)
    {
        draft.update(
            task,
            &Task {
                state: task_state::IN_PROGRESS,
                ..Task::clone(task)
            },
        )?;
    }
    Ok(())
}

/// Stores a report of a host. The same report again has no effect.
///
/// # Errors
/// [`Refusal::NotFound`] for a task that does not exist or is another host's, [`Refusal::Invalid`]
/// for one that was cancelled.
pub async fn report(
    state: &State,
    host: HostId,
    task: u32,
    outcome: &SnapinOutcome,
    now: Timestamp,
) -> Result<(), Refusal> {
    state
        .write(|draft| report_in(draft, host, task, outcome, now))
        .await
}

/// See [`report`].
///
/// # Errors
/// As there.
pub(super) fn report_in(
    draft: &mut Draft<'_>,
    host: HostId,
    task: u32,
    outcome: &SnapinOutcome,
    now: Timestamp,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let missing = || Refusal::NotFound {
        class: SNAPIN_TASK,
        id: task,
    };
    let row = tables.of::<SnapinTask>().get(task).ok_or_else(missing)?;
    let job = tables
        .of::<SnapinJob>()
        .get(row.job)
        .filter(|job| job.host == host.get());
    job.ok_or_else(missing)?;
    if row.state == task_state::COMPLETE {
        return Ok(());
    }
    if row.state == task_state::CANCELLED {
        let why = "the snapin task was cancelled".to_owned();
        return Err(Refusal::Invalid { field: "id", why });
    }
    let done = SnapinTask {
        state: task_state::COMPLETE,
        complete: now.into(),
        exit_code: outcome.exit_code.into(),
        details: outcome.details.chars().take(250).collect(),
        ..SnapinTask::clone(row)
    };
    draft.update(row, &done)?;
    settle(draft, host, Some(task))
}

const SNAPIN_TASK: &str = "snapintask";

/// Whether snapins must wait for an imaging task.
fn is_imaging(tables: &Tables, host: HostId) -> bool {
    tables
        .tasks()
        .by(Task::ACTIVE_BY_HOST, host.get().into())
        .any(|task| Purpose::of_task(task).is_imaging())
}

fn active_jobs(tables: &Tables, host: HostId) -> impl Iterator<Item = &Row<SnapinJob>> {
    tables
        .of::<SnapinJob>()
        .by(SnapinJob::ACTIVE_BY_HOST, host.get().into())
        .map(AsRef::as_ref)
}

/// Active tasks of a host that are for snapins alone.
fn snapin_tasks_of(tables: &Tables, host: HostId) -> impl Iterator<Item = &Row<Task>> {
    let active = tables.tasks().by(Task::ACTIVE_BY_HOST, host.get().into());
    active
        .filter(|task| Purpose::of_task(task).is_snapin())
        .map(AsRef::as_ref)
}

/// What a host has not run yet, with the job: jobs and tasks in the order in which they were made.
fn open_tasks(
    tables: &Tables,
    host: HostId,
) -> impl Iterator<Item = (&Row<SnapinJob>, &Row<SnapinTask>)> {
    active_jobs(tables, host).flat_map(|job| {
        let tasks = tables
            .of::<SnapinTask>()
            .by(SnapinTask::BY_JOB, job.id.into());
        tasks
            .filter(|task| task.is_active())
            .map(move |task| (job, task.as_ref()))
    })
}

/// Ends jobs of which nothing is open any more, and with the last of them the host's snapin task.
/// `done` has been completed by the same draft.
fn settle(draft: &mut Draft<'_>, host: HostId, done: Option<u32>) -> Result<(), Refusal> {
    let tables = draft.tables();
    let (mut open, mut any_complete, mut jobs) = (false, false, 0);
    for job in active_jobs(tables, host).take(JOBS_AT_ONCE) {
        let tasks = || {
            tables
                .of::<SnapinTask>()
                .by(SnapinTask::BY_JOB, job.id.into())
        };
        if tasks().any(|task| task.is_active() && Some(task.id) != done) {
            open = true;
            continue;
        }
        let complete = tasks().next().is_none()
            || tasks().any(|task| task.state == task_state::COMPLETE || Some(task.id) == done);
        any_complete |= complete;
        jobs += 1;
        // Whoever brings more is seen.
        draft.take_turn_of::<SnapinJob>(job.id);
        draft.update(
            job,
            &SnapinJob {
                state: ended(complete),
                ..SnapinJob::clone(job)
            },
        )?;
    }
    if open || active_jobs(tables, host).nth(JOBS_AT_ONCE).is_some() {
        return Ok(());
    }
    for task in snapin_tasks_of(tables, host) {
        // A task without any job had nothing to do and is complete.
        let state = ended(any_complete || jobs == 0);
        draft.update(
            task,
            &Task {
                state,
                ..Task::clone(task)
            },
        )?;
    }
    Ok(())
}

fn ended(complete: bool) -> u32 {
    if complete {
        task_state::COMPLETE
    } else {
        task_state::CANCELLED
    }
}
