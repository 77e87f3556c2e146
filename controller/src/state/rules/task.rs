//! Tasks: orders to do something to one host.

use std::sync::Arc;

use foghorn_lifecycle::TaskState as RunState;
use foghorn_types::Timestamp;

use super::{Rules, Write, multicast_session};
use crate::state::class::Body;
use crate::state::classes::task::state;
use crate::state::classes::{
    Host, Image, MulticastSessionAssociation, SnapinJob, SnapinTask, StorageGroup, StorageNode,
    Task, TaskState, TaskType,
};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::needle::Needle;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::tables::Tables;

/// Ends the run of a task, so that whoever serves it stops.
///
/// # Errors
/// Never for a run that has ended already.
pub(crate) fn end_run(draft: &mut Draft<'_>, task: &Task, reason: &str) {
    let Some(run) = task.key().and_then(|task| draft.tables().runs().get(&task)) else {
        return;
    };
    if let Some(cancelled) = run.cancelled(Timestamp::now(), reason) {
        draft.replace(&cancelled);
    }
}

/// Cancels the snapin jobs that came with a task, as far as there is room: a job ends after its
/// tasks.
///
/// # Errors
/// What the draft refuses.
pub(crate) fn end_snapins(
    draft: &mut Draft<'_>,
    task: &Task,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !task.carries_snapins() {
        return Ok(());
    }
    let tables = draft.tables();
    for job in tables
        .of::<SnapinJob>()
        .by(SnapinJob::ACTIVE_BY_HOST, task.host.into())
    {
        for row in tables
            .of::<SnapinTask>()
            .by(SnapinTask::BY_JOB, job.id.into())
        {
            if row.is_active() && draft.has_room(1, row.stored_bytes()) {
                draft.update(row, &row.cancelled(now))?;
            }
        }
        if draft.has_room(1, job.stored_bytes()) {
            draft.update(
                job,
                &SnapinJob {
                    state: state::CANCELLED,
                    ..SnapinJob::clone(job)
                },
            )?;
        }
    }
    Ok(())
}

fn task_type<'t>(task: &Task, tables: &'t Tables) -> Option<&'t Arc<Row<TaskType>>> {
    tables.of::<TaskType>().get(task.kind?.get())
}

impl Rules for Task {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        let node = row
            .and_then(|row| tables.of::<StorageNode>().get(row.storagenode))
            .map(AsRef::as_ref);
        let group = node
            .and_then(|node| tables.of::<StorageGroup>().get(node.storagegroup))
            .map(AsRef::as_ref);
        out.plain(
            "image",
            row.and_then(|row| tables.of::<Image>().get(row.image))
                .map(AsRef::as_ref),
            scene,
        );
        out.full(
            "host",
            row.and_then(|row| tables.of::<Host>().get(row.host))
                .map(AsRef::as_ref),
            scene,
        );
        out.plain(
            "type",
            row.and_then(|row| task_type(row, tables))
                .map(AsRef::as_ref),
            scene,
        );
        out.plain(
            "state",
            row.and_then(|row| tables.of::<TaskState>().get(row.state))
                .map(AsRef::as_ref),
            scene,
        );
        out.plain("storagenode", node, scene);
        out.plain("storagegroup", group, scene);
    }

    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        let progress = scene
            .glance
            .progress(self.key().filter(|_| self.is_active())?)?;
        Some(Self {
            pct: progress.percent.into(),
            percent: progress.percent.to_string(),
            bpm: progress.speed,
            time_elapsed: progress.elapsed,
            time_remaining: progress.remaining,
            data_copied: progress.copied,
            data_total: progress.total,
            ..self.clone()
        })
    }

    fn found_by_relation(row: &Row<Self>, scene: &Scene<'_>, needle: &Needle) -> bool {
        let tables = scene.tables;
        tables
            .hosts()
            .get(row.host)
            .is_some_and(|host| needle.hits(&host.name))
            || tables
                .images()
                .get(row.image)
                .is_some_and(|image| needle.hits(&image.name))
            || task_type(row, tables).is_some_and(|kind| needle.hits(&kind.name))
            || tables
                .of::<TaskState>()
                .get(row.state)
                .is_some_and(|state| needle.hits(&state.name))
    }

    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        let row = match write {
            // As on a FOG server: tasks come from hosts and groups (`app::tasks`), never from a
            // bare create.
            Write::Create => return Err(Refusal::Missing { field: "id" }),
            Write::Edit(row) => row,
        };
        let Some(run) = row.key().and_then(|task| draft.tables().runs().get(&task)) else {
            return Ok(());
        };
        // What the run works with stays. As FOG's clients send whole rows back, such fields are
        // passed over, not refused.
        (object.kind, object.host, object.image) = (row.kind, row.host, row.image);
        (object.storagegroup, object.storagenode) = (row.storagegroup, row.storagenode);
        let begun = matches!(
            run.life.state(),
            RunState::CheckedIn { .. } | RunState::Running { .. }
        );
        if begun || run.is_finished() {
            // A row that is set to "complete" now would free its host while a node still writes to
            // its disk.
            object.state = row.state;
        } else if !object.is_active() {
            end_run(
                draft,
                row,
                "ended by an edit of the task before its host appeared",
            );
        }
        Ok(())
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        end_run(draft, row, "the task was deleted");
        for member in draft
            .tables()
            .of::<MulticastSessionAssociation>()
            .by(MulticastSessionAssociation::BY_TASK, row.id.into())
        {
            multicast_session::leave(draft, member)?;
            draft.delete(member);
        }
        if !row.is_active() {
            return Ok(());
        }
        end_snapins(draft, row, Timestamp::now())
    }
}
