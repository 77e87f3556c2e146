//! `POST /fog/<class>/<id>/task` and the cancel routes.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use foghorn_types::{GroupId, HostId, Timestamp};

use super::answer;
use super::filter::Filter;
use super::request::Incoming;
use crate::agents::health::Health;
use crate::app::idempotent::Ticket;
use crate::app::objects;
use crate::app::sessions::{self, Settle};
use crate::app::tasks::{self, Origin, Request};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::class::Class;
use crate::state::classes::scheduled_task::Target;
use crate::state::classes::{Group, Host, MulticastSession, ScheduledTask, Task};

/// Classes for whose objects tasks are created.
pub(in crate::api) const TASKED: &[&str] = &["host", "group"];
/// Classes whose objects have something to cancel.
pub(in crate::api) const CANCELLED: &[&str] = &[
    "host",
    "group",
    "task",
    "snapinjob",
    "snapintask",
    "multicastsession",
    "scheduledtask",
];

pub(super) async fn create(
    ctx: &Ctx,
    class: &str,
    id: u32,
    incoming: &Incoming,
    ticket: Option<&Ticket>,
) -> Result<Response, Refusal> {
    match class {
        class if TASKED.contains(&class) => {}
        "task" | "snapinjob" | "snapintask" | "multicastsession" | "scheduledtask" => {
            return Ok(answer::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "tasks are created for hosts and groups",
            ));
        }
        _ => return Ok(answer::empty(StatusCode::NOT_IMPLEMENTED)),
    }
    let body = incoming.json()?;
    exists(ctx, class, id)?;
    let request = Request::read(&body)?;
    let origin = Origin {
        by: incoming.caller.created_by.clone(),
        traceparent: incoming
            .headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        deadline: ctx.settings.task_deadline,
        now: Timestamp::now(),
        health: Arc::new(Health::now(&ctx.live)),
        ticket: ticket.cloned(),
        order: 0,
    };
    if class == "group" {
        let created = tasks::create_for_group(&ctx.state, group(id)?, &request, &origin).await?;
        let mut response = answer::ok("\"\"");
        if let Some(why) = tasks::sentence(&created.left_out) {
            answer::explain(&mut response, &why);
        }
        return Ok(response);
    }
    tasks::create_for_host(&ctx.state, host(id)?, &request, &origin, &*ctx.live).await?;
    Ok(for_host(&request))
}

fn for_host(request: &Request) -> Response {
    // As on a FOG server: a text for types that read or write an image, nothing for the others.
    answer::ok(if request.kind.is_imaging() {
        "\"\""
    } else {
        "null"
    })
}

/// What a request for a host's task was answered with, when it was carried out.
pub(super) fn created(incoming: &Incoming) -> Result<Response, Refusal> {
    Ok(for_host(&Request::read(&incoming.json()?)?))
}

/// The host with this number of a path; 0 is none.
fn host(id: u32) -> Result<HostId, Refusal> {
    HostId::new(id).ok_or(Refusal::NotFound { class: "host", id })
}

/// The group with this number of a path; 0 is none.
fn group(id: u32) -> Result<GroupId, Refusal> {
    GroupId::new(id).ok_or(Refusal::NotFound { class: "group", id })
}

/// An unknown host is told before a wrong task type.
fn exists(ctx: &Ctx, class: &str, id: u32) -> Result<(), Refusal> {
    ctx.state.read(|tables| match class {
        "host" => tables
            .of::<Host>()
            .get(id)
            .map(drop)
            .ok_or(Refusal::NotFound { class: "host", id }),
        _ => tables
            .of::<Group>()
            .get(id)
            .map(drop)
            .ok_or(Refusal::NotFound { class: "group", id }),
    })
}

pub(super) async fn cancel(
    ctx: &Ctx,
    class: &str,
    id: Option<u32>,
    incoming: &Incoming,
) -> Result<Response, Refusal> {
    if !CANCELLED.contains(&class) {
        return Ok(answer::empty(StatusCode::NOT_IMPLEMENTED));
    }
    if id.is_some() {
        names_nothing_more(incoming)?;
    }
    match (class, id) {
        ("host", Some(id)) => tasks::cancel_host(&ctx.state, host(id)?).await?,
        ("group", Some(id)) => tasks::cancel_group(&ctx.state, group(id)?).await?,
        ("task", Some(id)) => tasks::cancel_task(&ctx.state, id).await?,
        ("host" | "group", None) => return Ok(answer::empty(StatusCode::NOT_FOUND)),
        ("snapinjob", Some(id)) => tasks::cancel_snapin_job(&ctx.state, id).await?,
        ("snapintask", Some(id)) => tasks::cancel_snapin_task(&ctx.state, id).await?,
        ("task", None) => {
            let filter = named::<Task>(incoming)?;
            tasks::cancel_active(&ctx.state, |task| filter.fits(task)).await?;
            // As there, this way of cancelling takes the sessions with it at once; otherwise they
            // follow within a minute.
            sessions::settle(&ctx.state, Settle::All).await?;
        }
        ("snapinjob", None) => {
            let filter = named(incoming)?;
            tasks::cancel_snapin_jobs(&ctx.state, |job| filter.fits(job)).await?;
        }
        ("snapintask", None) => {
            let filter = named(incoming)?;
            tasks::cancel_snapin_tasks(&ctx.state, |task| filter.fits(task)).await?;
        }
        ("multicastsession", Some(id)) => {
            sessions::cancel(&ctx.state, sessions::numbered(id)?).await?
        }
        ("multicastsession", None) => {
            let filter = named::<MulticastSession>(incoming)?;
            sessions::cancel_active(&ctx.state, |session| filter.fits(session)).await?;
        }
        // Cancelling what has not begun is deleting it.
        ("scheduledtask", Some(id)) => {
            objects::delete::<ScheduledTask>(&ctx.state, id, None).await?
        }
        ("scheduledtask", None) => cancel_schedules(ctx, incoming).await?,
        _ => return Ok(answer::empty(StatusCode::NOT_IMPLEMENTED)),
    }
    Ok(answer::ok("null"))
}

/// What the body of a cancel names. A body that names nothing cancels nothing: on a FOG server it
/// cancels all. A member that would be ignored is refused: without it, more would be cancelled than
/// was asked for.
fn named<C: Class>(incoming: &Incoming) -> Result<Filter<C>, Refusal> {
    let body = incoming.json()?;
    Filter::<C>::check(&body)?;
    let filter = Filter::new(&body, &[], incoming.wants_secrets());
    if filter.is_empty() {
        return Err(Refusal::NothingToCancel(
            "name what to cancel in the body, such as {\"hostID\":1} or {\"stateID\":[1,2,3]}"
                .to_owned(),
        ));
    }
    Ok(filter)
}

/// What the path names is cancelled whole, so a body that names less is refused.
fn names_nothing_more(incoming: &Incoming) -> Result<(), Refusal> {
    match incoming.json()?.keys().find(|name| *name != "reason") {
        None => Ok(()),
        Some(name) => Err(Refusal::Selector {
            name: name.clone(),
            why: "a cancel whose path names an object has no body, or only a \"reason\": it \
                  cancels all tasks of that object; to choose among them, send the body to \
                  DELETE /fog/task/cancel"
                .to_owned(),
        }),
    }
}

/// Deletes the schedules under way that the body names. Hosts and groups count their ids apart:
/// `hostID` alone names a host.
async fn cancel_schedules(ctx: &Ctx, incoming: &Incoming) -> Result<(), Refusal> {
    let filter = named::<ScheduledTask>(incoming)?;
    let body = incoming.json()?;
    let hosts_only = body.contains_key("hostID") && !body.contains_key("isGroupTask");
    let meant = |row: &ScheduledTask| {
        filter.fits(row) && !(hosts_only && matches!(row.target(), Target::Group(_)))
    };
    let ids: Vec<u32> = ctx.state.read(|tables| {
        let active = tables.of::<ScheduledTask>().by(ScheduledTask::ACTIVE, 0);
        active.filter(|row| meant(row)).map(|row| row.id).collect()
    });
    for id in ids {
        match objects::delete::<ScheduledTask>(&ctx.state, id, None).await {
            // Somebody else was faster.
            Ok(()) | Err(Refusal::NotFound { .. }) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(())
}
