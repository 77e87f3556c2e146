//! Snapin tasks: one snapin that one host has to run, as part of a [`SnapinJob`].

use super::Rules;
use crate::state::classes::{Snapin, SnapinJob, SnapinTask, TaskState};
use crate::state::json::JsonObject;
use crate::state::row::Row;
use crate::state::scene::Scene;

impl Rules for SnapinTask {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        let state = row
            .and_then(|row| tables.of::<TaskState>().get(row.state))
            .map(AsRef::as_ref);
        let job = row
            .and_then(|row| tables.of::<SnapinJob>().get(row.job))
            .map(AsRef::as_ref);
        out.plain(
            "snapin",
            row.and_then(|row| tables.of::<Snapin>().get(row.snapin))
                .map(AsRef::as_ref),
            scene,
        );
        out.plain("state", state, scene);
        // As on a FOG server: the state inside the job is this task's, and only `stateID` is the
        // job's.
        out.embedded("snapinjob", job, scene, |out| {
            out.full(
                "host",
                job.and_then(|job| tables.hosts().get(job.host))
                    .map(AsRef::as_ref),
                scene,
            );
            out.plain("state", state, scene);
        });
    }
}
