//! Ordering imaging tasks in Foghorn's own words: for a host, for several or for a group.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use foghorn_rest_types::multicast::HostLeftOut;
use foghorn_rest_types::tasks::{TaskCreated, TaskKind, TaskPlanned, TaskRequest, TasksCreated};
use foghorn_types::{Role, TaskTypeId, Timestamp};
use tracing::info;

use super::error::Refused;
use super::input::{Body, MOST_HOSTS};
use super::multicast::Asked;
use crate::agents::health::Health;
use crate::api::auth::Principal;
use crate::api::routes::{Routes, post};
use crate::app::sessions::Terms;
use crate::app::tasks::{
    self, AllMade, Made, OrderTasksError, Origin, Planned, Request, Wanted, Whom, Wish, Without,
};
use crate::ctx::Ctx;
use crate::state::rehearsal::is_on;
use crate::state::{Refusal, TaskRefusal};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        post("/foghorn/v1/tasks", create)
            .needs(Role::Operator)
            .named("tasks", "create_imaging_tasks",
                "Deploy to hosts, or capture one")
            .about(
                "Hosts that cannot have a task, for instance because they have one already, are left out and named in the \
                 answer; with `all_or_nothing`, or when there is no other host, the order is refused, no task is created and \
                 no host is changed. An image that is given becomes the image of each host that gets a task, as if the host \
                 had been edited first.",
            )
            .rehearses()
            .takes::<TaskRequest>()
            .gives::<TasksCreated>(201, "The tasks, one for each host that could have one.")
            .refuses(&[404, 409]),
    )
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    Extension(caller): Extension<Principal>,
    headers: HeaderMap,
    Body(body): Body<TaskRequest>,
) -> Result<(StatusCode, Json<TasksCreated>), Refused> {
    let now = Timestamp::now();
    let whom = whom(&body)?;
    let request = request(&body, now)?;
    // The time until the start does not count against the tasks.
    let wait = request
        .terms
        .start
        .at
        .map_or(Duration::ZERO, |at| at.since(now));
    let origin = Origin {
        by: caller.name,
        traceparent: headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        deadline: ctx.settings.task_deadline + wait,
        now,
        health: Arc::new(Health::now(&ctx.live)),
        ticket: None,
        order: 0,
    };
    let wish = Wish {
        image: body.image,
        all_or_nothing: body.all_or_nothing,
        request: &request,
        origin: &origin,
        glance: &*ctx.live,
    };
    let made = tasks::create_for_all(&ctx.state, &whom, &wish)
        .await
        .map_err(|error| refused(error, whom.field()))?;
    if is_on() {
        return Ok((StatusCode::OK, Json(view(made))));
    }
    info!(
        kind = ?body.kind,
        tasks = made.tasks.len(),
        left_out = made.left_out.len(),
        sessions = ?made.sessions.iter().map(|id| id.get()).collect::<Vec<_>>(),
        "imaging tasks created"
    );
    Ok((StatusCode::CREATED, Json(view(made))))
}

fn bad(field: &str, why: impl Into<String>) -> Refused {
    Refused::field(StatusCode::BAD_REQUEST, field, why)
}

fn whom(body: &TaskRequest) -> Result<Whom, Refused> {
    let whom = match (body.host, &body.hosts, body.group) {
        (Some(host), None, None) => Whom::Host(host),
        (None, Some(hosts), None) if hosts.is_empty() || hosts.len() > MOST_HOSTS => {
            return Err(bad(
                "hosts",
                format!("must contain 1 to {MOST_HOSTS} hosts"),
            ));
        }
        (None, Some(hosts), None) => Whom::Hosts(hosts.clone()),
        (None, None, Some(group)) => Whom::Group(group),
        (None, None, None) => return Err(bad("host", "one of host, hosts and group is required")),
        (_, Some(_), _) => {
            return Err(bad(
                "hosts",
                "only one of host, hosts and group can be given",
            ));
        }
        (_, None, _) => {
            return Err(bad(
                "group",
                "only one of host, hosts and group can be given",
            ));
        }
    };
    if body.kind == TaskKind::Capture && !matches!(whom, Whom::Host(_)) {
        return Err(bad(
            whom.field(),
            "a capture reads the disk of one host: give host",
        ));
    }
    Ok(whom)
}

/// The body as the request of the use case.
fn request(body: &TaskRequest, now: Timestamp) -> Result<Request, Refused> {
    let asked = Asked::from(body);
    if body.kind == TaskKind::Capture {
        let deploys = [
            ("multicast", body.multicast),
            ("snapins", body.snapins),
            ("version", body.version.is_some()),
        ];
        if let Some((field, _)) = deploys.into_iter().find(|(_, set)| *set) {
            return Err(bad(
                field,
                "is allowed only for a deploy, and this is a capture",
            ));
        }
    }
    if let Some(field) = asked.first().filter(|_| !body.multicast) {
        return Err(bad(
            field,
            "is allowed only for multicast: set multicast to true",
        ));
    }
    let (kind, usual) = match (body.kind, body.multicast) {
        (TaskKind::Capture, _) => (TaskTypeId::CAPTURE, "Capture"),
        (TaskKind::Deploy, false) => (TaskTypeId::DEPLOY, "Deploy"),
        (TaskKind::Deploy, true) => (TaskTypeId::MULTICAST, "Multicast"),
    };
    Ok(Request {
        kind,
        name: body.name.clone().unwrap_or_else(|| usual.to_owned()),
        shutdown: body.shutdown,
        debug: false,
        wake: body.wake,
        passreset: String::new(),
        snapins: if body.snapins {
            Wanted::All
        } else {
            Wanted::Nothing
        },
        session: String::new(),
        terms: if body.multicast {
            asked.terms(now)?
        } else {
            Terms::default()
        },
        version: body.version,
    })
}

fn refused(error: OrderTasksError, whom: &str) -> Refused {
    let text = error.to_string();
    match error {
        OrderTasksError::NoSuchGroup(_) | OrderTasksError::NoSuchHost(_) => {
            Refused::field(StatusCode::NOT_FOUND, whom, text)
        }
        OrderTasksError::NoSuchImage(_) => Refused::field(StatusCode::NOT_FOUND, "image", text),
        OrderTasksError::Busy { .. } => Refused::field(StatusCode::CONFLICT, whom, text),
        OrderTasksError::BadImage {
            why: Refusal::Task(TaskRefusal::NoVersion { .. }),
            ..
        }
        | OrderTasksError::BadHostImage {
            why: Refusal::Task(TaskRefusal::NoVersion { .. }),
            ..
        } => bad("version", text),
        OrderTasksError::EmptyGroup(_) => bad(whom, text),
        OrderTasksError::BadHostImage { why, .. } => Refused::field(status_of(&why), whom, text),
        OrderTasksError::BadImage { why, .. } => Refused::field(status_of(&why), "image", text),
        OrderTasksError::State(refusal) => refusal.into(),
    }
}

/// The request is right where only what a node holds is in its way.
fn status_of(why: &Refusal) -> StatusCode {
    match why {
        Refusal::Task(TaskRefusal::UnknownContent { .. } | TaskRefusal::DamagedImage { .. }) => {
            StatusCode::CONFLICT
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

fn view(made: AllMade) -> TasksCreated {
    let created = |made: Made| TaskCreated {
        task: made.task,
        host: made.host,
        image: made.image,
    };
    let planned = |planned: Planned| TaskPlanned {
        host: planned.host,
        image: planned.image,
    };
    let left_out = |without: Without| HostLeftOut {
        host: without.host,
        reason: without.why.reason(),
        name: without.name,
    };
    TasksCreated {
        tasks: made.tasks.into_iter().map(created).collect(),
        sessions: made.sessions,
        left_out: made.left_out.into_iter().map(left_out).collect(),
        planned: made.planned.into_iter().map(planned).collect(),
    }
}
