//! Tasks in Foghorn's own words: a run has the whole truth about an imaging task, the row of any
//! other task little more than its state.

use foghorn_lifecycle::{Client, Outcome, TaskState};
use foghorn_rest_types::native::{
    ImageDisk, Named, TaskBrief, TaskPhase, TaskProgress, TaskServedFrom, TaskStatus, TaskWait,
    TaskWaitKind, TaskWork,
};
use foghorn_types::{HostId, ImageId, StorageNodeId, TaskId, TaskTypeId, Timestamp};

use super::images::disk_view;
use super::multicast;
use super::names::image_name;
use super::nodes::node_view;
use super::notes;
use crate::agents::live::{Live, TransferProgress};
use crate::agents::waits::WaitKind;
use crate::app::{sites, versions};
use crate::state::classes::task::state;
use crate::state::classes::{StorageGroup, Task, TaskType};
use crate::state::run::{Run, RunKind};
use crate::state::{Row, Tables};

/// A task; `None` when there is neither its row nor its run.
pub(super) fn of(tables: &Tables, live: &Live, task: TaskId) -> Option<TaskStatus> {
    let row = tables.tasks().get(task.get()).map(AsRef::as_ref);
    match (tables.runs().get(&task), row) {
        (Some(run), row) => Some(of_run(tables, live, run, row)),
        (None, Some(row)) => of_row(tables, task, row),
        (None, None) => None,
    }
}

/// Its state, from its run if it has one.
pub(super) fn state_of(tables: &Tables, row: &Row<Task>) -> TaskPhase {
    let run = row.key().and_then(|task| tables.runs().get(&task));
    run.map_or_else(|| phase_of_row(row), |run| phase(run.life.state()).0)
}

/// What of a task's type counts.
pub(super) fn work(kind: Option<TaskTypeId>) -> TaskWork {
    match kind {
        Some(kind) if kind.is_deploy() => TaskWork::Deploy,
        Some(kind) if kind.is_capture() => TaskWork::Capture,
        Some(kind) if kind.is_snapins_only() => TaskWork::Snapins,
        Some(TaskTypeId::INVENTORY) => TaskWork::Inventory,
        Some(TaskTypeId::WAKE_UP) => TaskWork::WakeUp,
        _ => TaskWork::Other,
    }
}

/// Tasks of a host that have not ended.
pub(super) fn active_of_host(tables: &Tables, host: HostId) -> Vec<TaskBrief> {
    tables
        .tasks()
        .by(Task::ACTIVE_BY_HOST, host.get().into())
        .filter_map(|row| {
            Some(TaskBrief {
                id: row.key()?,
                work: work(row.kind),
                state: state_of(tables, row),
                host: host_name(tables, host),
            })
        })
        .collect()
}

fn of_run(tables: &Tables, live: &Live, run: &Run, row: Option<&Row<Task>>) -> TaskStatus {
    let (state, reason) = phase(run.life.state());
    let reason = reason.or_else(|| live.unreached(run.task).filter(|_| !run.is_finished()));
    let finished = match run.life.state() {
        TaskState::Finished { at, .. } => Some(*at),
        _ => None,
    };
    let notes = notes::of_task(tables, run);
    let is_fixed = |kind| {
        matches!(
            kind,
            RunKind::Deploy {
                manifest: Some(_),
                ..
            }
        )
    };
    let seconds = |started| {
        finished
            .unwrap_or_else(Timestamp::now)
            .since(started)
            .as_secs()
    };
    let kind = row.map_or(
        Some(match run.kind {
            RunKind::Deploy { .. } => TaskTypeId::DEPLOY,
            RunKind::Capture => TaskTypeId::CAPTURE,
        }),
        |row| row.kind,
    );
    TaskStatus {
        id: run.task,
        task: run.task,
        name: row.map(|row| row.name.clone()).unwrap_or_default(),
        work: work(kind),
        task_type: kind.and_then(|kind| type_name(tables, kind)),
        state,
        reason,
        host: host_name(tables, run.host),
        image: Some(image_name(tables, run.image)),
        image_version: versions::of_run(tables, run).and_then(|fixed| fixed.version),
        version_is_fixed: is_fixed(run.kind),
        part: Some(run.scope.part),
        disks: disks_of_task(tables, run),
        node: run.node().map(|node| node_view(tables, node).name),
        served_from: served_from(tables, live, run),
        waits_for: waits_for(tables, live, run),
        progress: live
            .progress(run.task)
            .filter(|_| !run.is_finished())
            .map(|progress| progress_view(&progress)),
        multicast: multicast::of_task(tables, live, run),
        created_by: row.map(|row| row.created_by.clone()).unwrap_or_default(),
        created: run.created.to_string(),
        started: run.life.started().map(|time| time.to_string()),
        finished: finished.map(|at| at.to_string()),
        duration_seconds: run.life.started().map(seconds),
        deadline: Some(run.deadline().to_string()),
        notes: notes::views(&notes),
        more_notes: notes.more(),
    }
}

/// A task that images no disk, or one of which nothing but its row is left.
fn of_row(tables: &Tables, task: TaskId, row: &Row<Task>) -> Option<TaskStatus> {
    let node = StorageNodeId::new(row.storagenode);
    let image = ImageId::new(row.image).filter(|_| row.kind.is_some_and(TaskTypeId::is_imaging));
    Some(TaskStatus {
        id: task,
        task,
        name: row.name.clone(),
        work: work(row.kind),
        task_type: row.kind.and_then(|kind| type_name(tables, kind)),
        state: phase_of_row(row),
        reason: None,
        host: host_name(tables, HostId::new(row.host)?),
        image: image.map(|image| image_name(tables, image)),
        image_version: None,
        version_is_fixed: false,
        part: None,
        disks: Vec::new(),
        node: node.map(|node| node_view(tables, node).name),
        served_from: None,
        waits_for: None,
        progress: None,
        multicast: None,
        created_by: row.created_by.clone(),
        created: row.created_time.0.unwrap_or_default().to_string(),
        started: None,
        finished: None,
        duration_seconds: None,
        deadline: None,
        notes: Vec::new(),
        more_notes: 0,
    })
}

fn served_from(tables: &Tables, live: &Live, run: &Run) -> Option<TaskServedFrom> {
    let from = sites::served_from(tables, run)?;
    let further = live.further(run.task).into_iter();
    let row = tables.of::<StorageGroup>().get(from.site.get());
    Some(TaskServedFrom {
        site: Named {
            id: from.site,
            name: row.map(|row| row.name.clone()).unwrap_or_default(),
        },
        own: from.own,
        why: from.why,
        further: further.map(|node| node_view(tables, node).name).collect(),
    })
}

fn waits_for(tables: &Tables, live: &Live, run: &Run) -> Option<TaskWait> {
    let wait = live.waits().of(run.task).filter(|_| !run.is_finished())?;
    let kind = match wait.kind {
        WaitKind::Place => TaskWaitKind::Place,
        WaitKind::Node => TaskWaitKind::Node,
        WaitKind::Client => TaskWaitKind::Client,
        WaitKind::Content => TaskWaitKind::Content,
        WaitKind::Time => TaskWaitKind::Time,
    };
    Some(TaskWait {
        kind,
        node: wait.node.map(|node| node_view(tables, node).name),
        position: wait.position,
        sentence: wait.sentence,
    })
}

fn phase_of_row(row: &Task) -> TaskPhase {
    match row.state {
        0 | state::QUEUED => TaskPhase::Queued,
        2 => TaskPhase::CheckedIn,
        state::IN_PROGRESS => TaskPhase::Running,
        state::COMPLETE => TaskPhase::Complete,
        _ => TaskPhase::Cancelled,
    }
}

fn type_name(tables: &Tables, id: TaskTypeId) -> Option<Named<TaskTypeId>> {
    let name = tables.of::<TaskType>().get(id.get())?.name.clone();
    Some(Named { id, name })
}

fn host_name(tables: &Tables, id: HostId) -> Named<HostId> {
    let row = tables.hosts().get(id.get());
    Named {
        id,
        name: row.map(|row| row.name.clone()).unwrap_or_default(),
    }
}

/// The disks of the image that a task deploys, while the image is still the one that was ordered.
fn disks_of_task(tables: &Tables, run: &Run) -> Vec<ImageDisk> {
    versions::content_of(tables, run).map_or_else(Vec::new, |content| {
        content.disks.iter().map(disk_view).collect()
    })
}

/// The state's public name and the reason of an end that was no success.
pub(super) fn phase(state: &TaskState) -> (TaskPhase, Option<String>) {
    match state {
        TaskState::Queued {
            client: Client::Awaited,
        } => (TaskPhase::Queued, None),
        // It waits for a node, but the client is there, which is what people look for.
        TaskState::Queued {
            client: Client::CheckedIn,
        }
        | TaskState::CheckedIn { .. } => (TaskPhase::CheckedIn, None),
        TaskState::Assigned { .. } => (TaskPhase::Assigned, None),
        TaskState::Running { .. } => (TaskPhase::Running, None),
        TaskState::Finished {
            outcome: Outcome::Complete,
            ..
        } => (TaskPhase::Complete, None),
        TaskState::Finished {
            outcome: Outcome::Failed { reason, .. },
            ..
        } => (TaskPhase::Failed, Some(reason.clone())),
        TaskState::Finished {
            outcome: Outcome::Cancelled { reason },
            ..
        } => (TaskPhase::Cancelled, Some(reason.clone())),
    }
}

fn progress_view(progress: &TransferProgress) -> TaskProgress {
    TaskProgress {
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        bytes_wire: progress.bytes_wire,
        rate_bytes_per_second: progress.rate,
        eta_seconds: progress.eta.as_secs(),
        limiting_stage: progress
            .limiting_stage
            .map(|stage| stage.as_str().to_owned()),
        bytes_reused: progress.bytes_reused,
    }
}
