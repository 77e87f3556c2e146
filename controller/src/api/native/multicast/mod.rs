//! Multicast sessions in Foghorn's own words: a row for each receiver, and the switches that FOG has no field for.

mod view;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use foghorn_rest_types::multicast::{
    MulticastCreated, MulticastEdit, MulticastList, MulticastRequest, MulticastStatus,
};
use foghorn_types::{BitRate, TaskId, Timestamp};
use serde::Deserialize;
use tracing::info;

pub(super) use view::of_task;

use self::view::View;
use super::error::Refused;
use super::json::{Body, Id};
use super::operator::Operator;
use crate::api::auth::Principal;
use crate::app::sessions::{self, Terms};
use crate::app::tasks::{self, Order, Request, Wanted};
use crate::ctx::Ctx;
use crate::state::class::Class as _;
use crate::state::classes::MulticastSession;
use crate::state::multicast::Start;

/// The task type that FOG calls a multicast.
const MULTICAST: u32 = 8;
/// Hosts in one request at most.
const MOST_HOSTS: usize = 10_000;
/// Receivers that a session can be made to wait for.
const MOST_RECEIVERS: u32 = 100_000;
const DAY: u32 = 24 * 60 * 60;
/// How far ahead a session may be ordered.
const AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    all: bool,
}

/// Sessions under way, or all, the newest first.
pub(super) async fn list(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<MulticastList>, Refused> {
    let Query(which) = query.map_err(|rejection| bad("all", rejection.body_text()))?;
    let sessions = ctx.state.read(|tables| {
        let view = View::new(&ctx, tables);
        let rows = tables.of::<MulticastSession>();
        if which.all {
            return rows.iter().rev().map(|row| view.summary(row)).collect();
        }
        rows.by(MulticastSession::ACTIVE, 0).rev().map(|row| view.summary(row)).collect()
    });
    Ok(Json(MulticastList { sessions }))
}

pub(super) async fn show(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
) -> Result<Json<MulticastStatus>, Refused> {
    shown(&ctx, id).map(Json)
}

fn shown(ctx: &Ctx, id: u32) -> Result<MulticastStatus, Refused> {
    ctx.state
        .read(|tables| tables.of::<MulticastSession>().get(id).map(|row| View::new(ctx, tables).status(row)))
        .ok_or_else(|| Refused::not_found(MulticastSession::NAME, id))
}

pub(super) async fn create(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    caller: axum::Extension<Principal>,
    headers: HeaderMap,
    Body(body): Body<MulticastRequest>,
) -> Result<(StatusCode, Json<MulticastCreated>), Refused> {
    let now = Timestamp::now();
    let terms = terms(&body, now)?;
    let request = Request {
        kind: MULTICAST,
        name: body.name.unwrap_or_else(|| "Multicast".to_owned()),
        shutdown: body.shutdown,
        debug: false,
        wake: body.wake,
        passreset: String::new(),
        snapins: Wanted::Nothing,
        session: String::new(),
        terms,
    };
    // The time until the start does not count against the tasks.
    let wait = terms.start.at.map_or(Duration::ZERO, |at| at.since(now));
    let order = Order {
        by: caller.name.clone(),
        traceparent: headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned),
        deadline: ctx.settings.task_deadline + wait,
        now,
        ticket: None,
    };
    let created = match (body.group, body.hosts) {
        (Some(group), None) => tasks::create_for_group(&ctx.state, group.get(), &request, &order).await?,
        (None, Some(hosts)) => {
            let mut seen = HashSet::new();
            let hosts: Vec<u32> = hosts.iter().map(|host| host.get()).filter(|host| seen.insert(*host)).collect();
            if hosts.is_empty() || hosts.len() > MOST_HOSTS {
                return Err(bad("hosts", format!("must name 1 to {MOST_HOSTS} hosts")));
            }
            tasks::create_for_hosts(&ctx.state, &hosts, &request, &order).await?
        }
        (Some(_), Some(_)) => return Err(bad("hosts", "give a group or hosts, not both")),
        (None, None) => return Err(bad("group", "a group or hosts are needed")),
    };
    info!(sessions = ?created.sessions, tasks = created.tasks.len(), "multicast sessions ordered");
    let tasks = created.tasks.into_iter().filter_map(TaskId::new).collect();
    Ok((StatusCode::CREATED, Json(MulticastCreated { sessions: created.sessions, tasks })))
}

fn bad(field: &str, why: impl Into<String>) -> Refused {
    Refused::field(StatusCode::BAD_REQUEST, field, why)
}

/// When the session starts and how fast it is sent.
fn terms(body: &MulticastRequest, now: Timestamp) -> Result<Terms, Refused> {
    if body.start_receivers.is_some_and(|count| count == 0 || count > MOST_RECEIVERS) {
        return Err(bad("start_receivers", format!("must be between 1 and {MOST_RECEIVERS}")));
    }
    if body.max_wait_seconds.is_some_and(|seconds| seconds > DAY) {
        return Err(bad("max_wait_seconds", format!("must be at most {DAY}")));
    }
    let at = body.start_at.as_deref().map(str::parse::<Timestamp>).transpose();
    let at = at.map_err(|error| bad("start_at", error.to_string()))?;
    if at.is_some_and(|at| at <= now || at > now + AHEAD) {
        return Err(bad("start_at", "must be in the next 30 days"));
    }
    if at.is_some() && (body.start_receivers.is_some() || body.max_wait_seconds.is_some()) {
        return Err(bad("start_at", "a session starts at a time or when receivers are there, not both"));
    }
    let max_wait = body.max_wait_seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let max_rate = body.max_rate_bytes_per_second.map(BitRate::from_bytes_per_second);
    Ok(Terms { start: Start { receivers: body.start_receivers, at, max_wait }, max_rate })
}

pub(super) async fn edit(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
    Body(body): Body<MulticastEdit>,
) -> Result<Json<MulticastStatus>, Refused> {
    if body.max_rate_bytes_per_second.is_none() && !body.start_now {
        return Err(bad("max_rate_bytes_per_second", "there is nothing to change"));
    }
    let now = Timestamp::now();
    sessions::change(&ctx.state, id, |terms| {
        if let Some(rate) = body.max_rate_bytes_per_second {
            terms.max_rate = Some(BitRate::from_bytes_per_second(rate));
        }
        if body.start_now {
            terms.start = Start { at: Some(now), ..Start::default() };
        }
    })
    .await?;
    info!(session = id, rate = body.max_rate_bytes_per_second, now = body.start_now, "multicast session changed");
    shown(&ctx, id).map(Json)
}

pub(super) async fn cancel(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(id): Id<u32>,
) -> Result<StatusCode, Refused> {
    sessions::cancel(&ctx.state, id).await?;
    info!(session = id, "multicast session cancelled");
    Ok(StatusCode::NO_CONTENT)
}
