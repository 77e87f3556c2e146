//! Imaging tasks and the contents of images, in Foghorn's own words: with the reason of a failure,
//! and in bytes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_lifecycle::{Client, Outcome, TaskState};
use foghorn_rest_types::native::{
    ImageContent, ImageDisk, ImageStatus, Named, TaskList, TaskPhase, TaskProgress, TaskStatus,
};
use foghorn_types::{ImageId, Role, TaskId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::image_versions::captured_from;
use super::input::{Id, Query};
use super::multicast;
use super::names::image_name;
use super::nodes::node_view;
use super::notes;
use crate::agents::live::{Live, TransferProgress};
use crate::api::routes::{Routes, get};
use crate::app::versions;
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::{Host, Image};
use crate::state::content::ContentDisk;
use crate::state::run::{Run, RunKind};

/// Tasks in one list at most.
const MOST_IDS: usize = 1000;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/tasks", list)
                .needs(Role::ReadOnly)
                .named(
                    "tasks",
                    "imaging_tasks",
                    "List imaging tasks with their progress",
                )
                .query::<Ids>()
                .gives::<TaskList>(200, "In the order of the ids."),
        )
        .add(
            get("/foghorn/v1/tasks/{id}", show)
                .needs(Role::ReadOnly)
                .named(
                    "tasks",
                    "imaging_task",
                    "Show an imaging task with its progress",
                )
                .path::<TaskId>("id", "Id of the task.")
                .gives::<TaskStatus>(200, "The task.")
                .refuses(&[404]),
        )
        .add(
            get("/foghorn/v1/images/{id}", image)
                .needs(Role::ReadOnly)
                .named(
                    "images",
                    "image_content",
                    "Show what an image contains and where it is",
                )
                .path::<ImageId>("id", "Id of the image.")
                .gives::<ImageStatus>(200, "The image.")
                .refuses(&[404]),
        )
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(task): Id<TaskId>,
) -> Result<Json<TaskStatus>, Refused> {
    ctx.state
        .read(|tables| {
            tables
                .runs()
                .get(&task)
                .map(|run| view(tables, &ctx.live, run))
        })
        .map(Json)
        .ok_or_else(|| Refused::not_found("imaging task", task))
}

#[derive(Deserialize, JsonSchema)]
struct Ids {
    /// At most 1000 ids separated by commas; default: the tasks that have not ended.
    ids: Option<String>,
}

/// The tasks with these ids; without ids, those that have not ended.
async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(query): Query<Ids>,
) -> Result<Json<TaskList>, Refused> {
    let bad = |why: String| Refused::field(StatusCode::BAD_REQUEST, "ids", why);
    let Some(text) = query.ids else {
        let tasks = ctx.state.read(|tables| {
            tables
                .runs()
                .active()
                .map(|run| view(tables, &ctx.live, run))
                .collect()
        });
        return Ok(Json(TaskList { tasks }));
    };
    let parse = |id: &str| {
        id.trim()
            .parse::<TaskId>()
            .map_err(|_| bad(format!("{id:?} is not an id")))
    };
    let ids = text.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    if ids.len() > MOST_IDS {
        return Err(bad(format!("at most {MOST_IDS} at a time")));
    }
    let tasks = ctx.state.read(|tables| {
        ids.iter()
            .filter_map(|id| Some(view(tables, &ctx.live, tables.runs().get(id)?)))
            .collect()
    });
    Ok(Json(TaskList { tasks }))
}

fn view(tables: &Tables, live: &Live, run: &Run) -> TaskStatus {
    let (state, reason) = phase(run.life.state());
    let finished = match run.life.state() {
        TaskState::Finished { at, .. } => Some(at.to_string()),
        _ => None,
    };
    let notes = notes::of_task(tables, run);
    let version_is_fixed = matches!(
        run.kind,
        RunKind::Deploy {
            manifest: Some(_),
            ..
        }
    );
    TaskStatus {
        task: run.task,
        state,
        reason,
        host: Named {
            id: run.host,
            name: tables
                .of::<Host>()
                .get(run.host.get())
                .map(|row| row.name.clone())
                .unwrap_or_default(),
        },
        image: image_name(tables, run.image),
        image_version: versions::of_run(tables, run).and_then(|fixed| fixed.version),
        version_is_fixed,
        part: run.scope.part,
        disks: disks_of_task(tables, run),
        node: run.node().map(|node| node_view(tables, node).name),
        progress: live
            .progress(run.task)
            .filter(|_| !run.is_finished())
            .map(|progress| progress_view(&progress)),
        multicast: multicast::of_task(tables, live, run),
        created: run.created.to_string(),
        started: run.life.started().map(|time| time.to_string()),
        finished,
        deadline: run.deadline().to_string(),
        notes: notes::views(&notes),
        more_notes: notes.more(),
    }
}

/// The disks of the image that a task deploys, while the image is still the one that was ordered.
fn disks_of_task(tables: &Tables, run: &Run) -> Vec<ImageDisk> {
    versions::content_of(tables, run).map_or_else(Vec::new, |content| {
        content.disks.iter().map(disk_view).collect()
    })
}

fn disk_view(disk: &ContentDisk) -> ImageDisk {
    ImageDisk {
        size: disk.size,
        sector_size: disk.sector_size,
        start: disk.start,
        minimum_size: disk.minimum,
        name: disk.name.clone(),
    }
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

async fn image(
    State(ctx): State<Arc<Ctx>>,
    Id(image): Id<ImageId>,
) -> Result<Json<ImageStatus>, Refused> {
    ctx.state
        .read(|tables| {
            tables.of::<Image>().get(image.get())?;
            let content = tables.contents().get(&image).map(|content| ImageContent {
                manifest: content.manifest,
                version: content.version,
                captured_from: content.from.as_ref().map(captured_from),
                part: content.part,
                disks: content.disks.iter().map(disk_view).collect(),
                logical_bytes: content.logical_bytes,
                used_bytes: content.used_bytes,
                stored_bytes: content.stored_bytes,
                new_bytes: content.new_bytes,
                captured: content.captured_at.to_string(),
                nodes: content
                    .nodes
                    .iter()
                    .map(|node| node_view(tables, *node))
                    .collect(),
                notes: notes::views(&content.notes),
                more_notes: content.notes.more(),
            });
            Some(ImageStatus {
                image: image_name(tables, image),
                content,
            })
        })
        .map(Json)
        .ok_or_else(|| Refused::not_found("image", image))
}
