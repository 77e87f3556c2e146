//! Updates FOG's rows from a run: the task's state, the imaging log, dates of hosts and images,
//! failures of nodes.
//!
//! FOG has five task states and none for failure: a failed task is shown as cancelled there, and
//! the run contains the reason.

use foghorn_lifecycle::{Client, Effect, Outcome, TaskKind, TaskState};
use foghorn_types::{StorageNodeId, TaskId, Timestamp};

use super::devices::imaged;
use super::{history, notices};
use crate::state::classes::{Host, Image, ImagingLog, NodeFailure, StorageNode, Task, TaskLog};
use crate::state::rules::task::end_snapins;
use crate::state::run::Run;
use crate::state::{Draft, Refusal, State};

/// FOG's number for a state of the life cycle.
#[must_use]
pub fn fog_state(state: &TaskState) -> u32 {
    match state {
        TaskState::Queued {
            client: Client::Awaited,
        }
        | TaskState::Assigned { .. } => 1,
        TaskState::Queued {
            client: Client::CheckedIn,
        }
        | TaskState::CheckedIn { .. } => 2,
        TaskState::Running { .. } => 3,
        TaskState::Finished {
            outcome: Outcome::Complete,
            ..
        } => 4,
        TaskState::Finished {
            outcome: Outcome::Failed { .. } | Outcome::Cancelled { .. },
            ..
        } => 5,
    }
}

/// Adds the consequences of a run's move to the draft. Rows that have been deleted in the meantime
/// are ignored.
///
/// # Errors
/// When a row cannot be drafted.
pub(crate) fn follow(
    draft: &mut Draft<'_>,
    before: &Run,
    after: &Run,
    effects: &[Effect],
    now: Timestamp,
) -> Result<(), Refusal> {
    move_row(draft, before, after, now)?;
    log_state(draft, before, after, now)?;
    if after.is_finished() && !before.is_finished() {
        history::ended(draft, after, now)?;
        notices::ended(draft, after, now);
    }
    for effect in effects {
        if let Effect::RecordNodeFailure { node, .. } = effect {
            node_failure(draft, after, *node, now)?;
        }
    }
    log_imaging(draft, before, after, now)?;
    if is_complete(after) && after.life.kind() == TaskKind::Deploy {
        mark_deployed(draft, after, now)?;
        imaged::deployed(draft, after);
    }
    Ok(())
}

/// Records that a node failed a task, on its own.
///
/// # Errors
/// When it cannot be stored.
pub(crate) async fn record_node_failure(
    state: &State,
    task: TaskId,
    node: StorageNodeId,
    now: Timestamp,
) -> Result<(), Refusal> {
    state
        .write(|draft| match draft.tables().runs().get(&task).cloned() {
            Some(run) => node_failure(draft, &run, node, now),
            None => Ok(()),
        })
        .await
}

fn is_complete(run: &Run) -> bool {
    matches!(
        run.life.state(),
        TaskState::Finished {
            outcome: Outcome::Complete,
            ..
        }
    )
}

fn move_row(
    draft: &mut Draft<'_>,
    before: &Run,
    after: &Run,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(row) = draft.tables().of::<Task>().get(after.task.get()) else {
        return Ok(());
    };
    let mut task = Task::clone(row);
    task.state = fog_state(after.life.state());
    if after.is_finished() && !is_complete(after) && row.is_active() {
        // Snapins for the new system must not run on whatever is on the disk now.
        end_snapins(draft, row, now)?;
    }
    if let Some(node) = after.node() {
        task.storagenode = node.get();
    }
    if after.client_fingerprint != before.client_fingerprint {
        task.check_in_time = now.into();
    }
    if is_complete(after) {
        task.pct = 100;
    }
    if task != ***row {
        draft.update(row, &task)?;
    }
    Ok(())
}

/// A line for each change of the state that FOG knows.
fn log_state(
    draft: &mut Draft<'_>,
    before: &Run,
    after: &Run,
    now: Timestamp,
) -> Result<(), Refusal> {
    let state = fog_state(after.life.state());
    if state == fog_state(before.life.state()) {
        return Ok(());
    }
    let Some(row) = draft.tables().of::<Task>().get(after.task.get()) else {
        return Ok(());
    };
    let log = TaskLog {
        task: after.task.to_string(),
        created_by: row.created_by.clone(),
        state,
        created_time: now.into(),
        ..TaskLog::default()
    };
    draft.insert(log).map(|_| ())
}

fn node_failure(
    draft: &mut Draft<'_>,
    run: &Run,
    node: StorageNodeId,
    now: Timestamp,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let failure = NodeFailure {
        storagenode: node.get(),
        task: run.task.get(),
        host: run.host.get(),
        storagegroup: tables
            .of::<StorageNode>()
            .get(node.get())
            .map_or(run.storage_group.get(), |row| row.storagegroup),
        failure_time: now.into(),
        ..NodeFailure::default()
    };
    // One row for each node and task; a second failure moves its time.
    let same = |row: &&_| -> bool {
        let row: &std::sync::Arc<crate::state::Row<NodeFailure>> = row;
        (row.storagenode, row.task, row.host) == (failure.storagenode, failure.task, failure.host)
    };
    match tables.of::<NodeFailure>().iter().find(same) {
        Some(row) => draft.update(
            row,
            &NodeFailure {
                id: row.id,
                ..failure
            },
        ),
        None => draft.insert(failure).map(|_| ()),
    }
}

fn log_imaging(
    draft: &mut Draft<'_>,
    before: &Run,
    after: &Run,
    now: Timestamp,
) -> Result<(), Refusal> {
    let finish = if is_complete(after) {
        now.into()
    } else {
        Default::default()
    };
    let kind = match after.life.kind() {
        TaskKind::Deploy => "down",
        TaskKind::Capture => "up",
    };
    let tables = draft.tables();
    if before.life.started().is_none() && after.life.started().is_some() {
        let log = ImagingLog {
            host: after.host.get(),
            start: now.into(),
            finish,
            image: tables
                .of::<Image>()
                .get(after.image.get())
                .map(|row| row.name.clone())
                .unwrap_or_default(),
            kind: kind.to_owned(),
            created_by: tables
                .of::<Task>()
                .get(after.task.get())
                .map(|row| row.created_by.clone())
                .unwrap_or_default(),
            ..ImagingLog::default()
        };
        draft.insert(log)?;
    } else if is_complete(after) && !before.is_finished() {
        // The log of a failed task stays open, because an end would be wrong.
        let open = |row: &&std::sync::Arc<crate::state::Row<ImagingLog>>| {
            row.finish.0.is_none() && row.kind == kind
        };
        if let Some(row) = tables
            .of::<ImagingLog>()
            .by(ImagingLog::BY_HOST, after.host.get().into())
            .rev()
            .find(open)
        {
            draft.update(
                row,
                &ImagingLog {
                    finish,
                    ..ImagingLog::clone(row)
                },
            )?;
        }
    }
    Ok(())
}

/// The date of the image is that of its capture, which is stored with the content.
fn mark_deployed(draft: &mut Draft<'_>, run: &Run, now: Timestamp) -> Result<(), Refusal> {
    let Some(row) = draft.tables().of::<Host>().get(run.host.get()) else {
        return Ok(());
    };
    draft.update(
        row,
        &Host {
            deployed: now.into(),
            ..Host::clone(row)
        },
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foghorn_lifecycle::TaskEvent;
    use foghorn_types::{HostId, ImageId, StorageGroupId};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::state::run::RunKind;
    use crate::store::embedded::EmbeddedStore;

    /// Stores what follows from a move and returns the run after it.
    async fn moved(state: &State, before: &Run, event: TaskEvent) -> Run {
        let now = Timestamp::now();
        let mut after = before.clone();
        let effects = after.life.apply(now, event).unwrap();
        state
            .write(|draft| follow(draft, before, &after, &effects, now))
            .await
            .unwrap();
        after
    }

    #[tokio::test]
    async fn only_a_task_that_completed_closes_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let store = Arc::new(
            EmbeddedStore::open(&folder.path().join("state.redb"))
                .await
                .unwrap(),
        );
        let (state, _follower) = State::start(store, cancel.clone()).await.unwrap();
        let node = StorageNodeId::new(1).unwrap();
        let ends = [
            TaskEvent::Cancelled {
                reason: "asked".to_owned(),
            },
            TaskEvent::Ended {
                node,
                outcome: Outcome::Failed {
                    reason: "disk".to_owned(),
                    node_at_fault: false,
                },
            },
            TaskEvent::Ended {
                node,
                outcome: Outcome::Complete,
            },
        ];
        for (end, number) in ends.into_iter().zip(1..) {
            let (task, host) = (TaskId::new(number).unwrap(), HostId::new(number).unwrap());
            let (image, group) = (ImageId::new(1).unwrap(), StorageGroupId::new(1).unwrap());
            let mut run = Run::queued(
                task,
                RunKind::Capture,
                host,
                image,
                group,
                None,
                Timestamp::now(),
            );
            for event in [
                TaskEvent::Assigned { node },
                TaskEvent::ClientCheckedIn,
                TaskEvent::Progressed { node },
                end,
            ] {
                run = moved(&state, &run, event).await;
            }
            assert!(run.is_finished());
        }
        let logs: Vec<_> = state.read(|tables| {
            let row = |log: &Arc<crate::state::Row<ImagingLog>>| {
                (log.host, log.start.0.is_some(), log.finish.0.is_some())
            };
            tables.of::<ImagingLog>().iter().map(row).collect()
        });
        assert_eq!(logs, [(1, true, false), (2, true, false), (3, true, true)]);
        cancel.cancel();
    }
}
