//! Snapin jobs: what one host has to run, as one piece of work of one or more [`SnapinTask`]s.

use super::Rules;
use crate::state::classes::{Host, SnapinJob, SnapinTask, TaskState};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;

impl Rules for SnapinJob {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        out.full(
            "host",
            row.and_then(|row| tables.of::<Host>().get(row.host))
                .map(AsRef::as_ref),
            scene,
        );
        out.plain(
            "state",
            row.and_then(|row| tables.of::<TaskState>().get(row.state))
                .map(AsRef::as_ref),
            scene,
        );
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        draft.delete_each(
            draft
                .tables()
                .of::<SnapinTask>()
                .by(SnapinTask::BY_JOB, row.id.into()),
        );
        Ok(())
    }
}
