//! Tasks in Foghorn's own words: with the reason of a failure, and in bytes.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{TaskList, TaskPhase, TaskStatus};
use foghorn_types::{GroupId, HostId, ImageId, Role, TaskId, TaskTypeId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::input::{Id, Query};
use super::paging::{self, Page, page};
use super::{hosts, task_view};
use crate::agents::live::Live;
use crate::api::routes::{Routes, get};
use crate::ctx::Ctx;
use crate::state::classes::Task;
use crate::state::{Row, Tables};

/// Ids in one request at most.
const MOST_IDS: usize = 1000;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/tasks", list)
                .needs(Role::ReadOnly)
                .named("tasks", "imaging_tasks", "List tasks with their progress")
                .about(
                    "Without parameters: the imaging tasks that have not ended, the oldest first. A parameter that is given \
                     leaves out what it does not name; `state=all` and `work=all` leave out nothing.",
                )
                .query::<Asked>()
                .gives::<TaskList>(200, "By id, or in the order of `ids`."),
        )
        .add(
            get("/foghorn/v1/tasks/{id}", show)
                .needs(Role::ReadOnly)
                .named("tasks", "imaging_task", "Show a task with its progress")
                .path::<TaskId>("id", "Id of the task.")
                .gives::<TaskStatus>(200, "The task.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// At most 1000 ids separated by commas, of tasks of any state and kind; other parameters are
    /// not allowed with it.
    ids: Option<String>,
    /// Only tasks in this state; default `active`.
    #[serde(default)]
    state: States,
    /// Only tasks that do this; default `imaging`.
    #[serde(default)]
    work: Works,
    /// Only tasks of this host, by id.
    host: Option<HostId>,
    /// Only tasks of hosts that are in this group now, by id.
    group: Option<GroupId>,
    /// Only tasks with this image, by id.
    image: Option<ImageId>,
    /// Only tasks that were created since this time, RFC 3339.
    since: Option<String>,
    /// Which come first; default `oldest`.
    #[serde(default)]
    order: Order,
    /// Where to continue: `next` of an earlier answer.
    after: Option<TaskId>,
    /// Maximum number of tasks in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum States {
    #[default]
    Active,
    Ended,
    All,
    Queued,
    Assigned,
    CheckedIn,
    Running,
    Complete,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Works {
    #[default]
    Imaging,
    All,
    Deploy,
    Capture,
    Snapins,
    Inventory,
    WakeUp,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Order {
    #[default]
    Oldest,
    Newest,
}

impl Asked {
    fn has_filters(&self) -> bool {
        let chosen = (self.state, self.work, self.order);
        chosen != (States::default(), Works::default(), Order::default())
            || self.host.is_some()
            || self.group.is_some()
            || self.image.is_some()
            || self.since.is_some()
            || self.after.is_some()
            || self.limit.is_some()
    }
}

impl States {
    fn has(self, phase: TaskPhase) -> bool {
        match self {
            Self::Active => !phase.is_finished(),
            Self::Ended => phase.is_finished(),
            Self::All => true,
            Self::Queued => phase == TaskPhase::Queued,
            Self::Assigned => phase == TaskPhase::Assigned,
            Self::CheckedIn => phase == TaskPhase::CheckedIn,
            Self::Running => phase == TaskPhase::Running,
            Self::Complete => phase == TaskPhase::Complete,
            Self::Failed => phase == TaskPhase::Failed,
            Self::Cancelled => phase == TaskPhase::Cancelled,
        }
    }

    /// Whether only tasks that have not ended are meant: there are few of them.
    fn is_active(self) -> bool {
        matches!(
            self,
            Self::Active | Self::Queued | Self::Assigned | Self::CheckedIn | Self::Running
        )
    }
}

impl Works {
    fn has(self, kind: Option<TaskTypeId>) -> bool {
        use foghorn_rest_types::native::TaskWork;
        let work = task_view::work(kind);
        match self {
            Self::All => true,
            Self::Imaging => kind.is_some_and(TaskTypeId::is_imaging),
            Self::Deploy => work == TaskWork::Deploy,
            Self::Capture => work == TaskWork::Capture,
            Self::Snapins => work == TaskWork::Snapins,
            Self::Inventory => work == TaskWork::Inventory,
            Self::WakeUp => work == TaskWork::WakeUp,
            Self::Other => work == TaskWork::Other,
        }
    }
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(task): Id<TaskId>,
) -> Result<Json<TaskStatus>, Refused> {
    ctx.state
        .read(|tables| task_view::of(tables, &ctx.live, task))
        .map(Json)
        .ok_or_else(|| Refused::not_found("task", task))
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<TaskList>, Refused> {
    if let Some(text) = &asked.ids {
        if asked.has_filters() {
            return Err(bad(
                "ids",
                "other parameters are not allowed with it".to_owned(),
            ));
        }
        let ids = ids(text)?;
        let view = |tables: &_| {
            ids.iter()
                .filter_map(|id| task_view::of(tables, &ctx.live, *id))
                .collect()
        };
        let tasks = ctx.state.read(view);
        return Ok(Json(TaskList { tasks, next: None }));
    }
    let limit = paging::limit(asked.limit)?;
    let since = asked.since.as_deref().map(str::parse::<Timestamp>);
    let since = since
        .transpose()
        .map_err(|error| bad("since", error.to_string()))?;
    let page = ctx
        .state
        .read(|tables| found(tables, &ctx.live, &asked, since, limit));
    Ok(Json(TaskList {
        tasks: page.items,
        next: page.next,
    }))
}

fn bad(field: &str, why: String) -> Refused {
    Refused::field(StatusCode::BAD_REQUEST, field, why)
}

fn ids(text: &str) -> Result<Vec<TaskId>, Refused> {
    let parse = |id: &str| {
        let parsed = id.trim().parse::<TaskId>();
        parsed.map_err(|_| bad("ids", format!("{id:?} is not an id")))
    };
    let ids = text.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    if ids.len() > MOST_IDS {
        return Err(bad("ids", format!("at most {MOST_IDS} at a time")));
    }
    Ok(ids)
}

fn found(
    tables: &Tables,
    live: &Live,
    asked: &Asked,
    since: Option<Timestamp>,
    limit: usize,
) -> Page<TaskStatus> {
    let members: Option<HashSet<u32>> = asked.group.map(|group| hosts::members(tables, group));
    let is_meant = |row: &Row<Task>| {
        asked.work.has(row.kind)
            && asked.host.is_none_or(|host| host.get() == row.host)
            && members.as_ref().is_none_or(|all| all.contains(&row.host))
            && asked.image.is_none_or(|image| image.get() == row.image)
            && since.is_none_or(|since| row.created_time.0.is_some_and(|at| at >= since))
            && asked.state.has(task_view::state_of(tables, row))
    };
    page(
        rows(tables, asked),
        limit,
        |row| row.id.to_string(),
        |row| {
            is_meant(row)
                .then(|| task_view::of(tables, live, row.key()?))
                .flatten()
        },
    )
}

/// The rows that may be meant, in their order, behind the place where the request continues.
fn rows<'t>(
    tables: &'t Tables,
    asked: &Asked,
) -> Box<dyn Iterator<Item = &'t Arc<Row<Task>>> + 't> {
    let tasks = tables.tasks();
    let (backwards, after) = (asked.order == Order::Newest, asked.after.map(TaskId::get));
    let indexed = match (asked.host, asked.state.is_active()) {
        (Some(host), true) => tasks.by(Task::ACTIVE_BY_HOST, host.get().into()),
        (Some(host), false) => tasks.by(Task::BY_HOST, host.get().into()),
        (None, true) => tasks.by(Task::ACTIVE, 0),
        (None, false) => return tasks.after_id(backwards, after),
    };
    let follows = move |row: &&'t Arc<Row<Task>>| match after {
        None => true,
        Some(after) if backwards => row.id < after,
        Some(after) => row.id > after,
    };
    if backwards {
        Box::new(indexed.rev().filter(follows))
    } else {
        Box::new(indexed.filter(follows))
    }
}
