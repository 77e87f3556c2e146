//! Multicast sessions in Foghorn's own words: a row for each receiver, and the switches that FOG
//! has no field for.

mod terms;
mod view;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use foghorn_rest_types::multicast::{
    HostLeftOut, MulticastCreated, MulticastEdit, MulticastList, MulticastRequest, MulticastStatus,
};
use foghorn_types::{HostId, Role, SessionId, TaskTypeId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::info;

pub(super) use terms::Asked;
pub(super) use view::of_task;

use self::view::View;
use super::error::Refused;
use super::input::{Body, Id, MOST_HOSTS, Query};
use crate::agents::health::Health;
use crate::api::auth::Principal;
use crate::api::routes::{Routes, delete, get, patch, post};
use crate::app::sessions;
use crate::app::tasks::{self, LeftOut, Origin, Request, Wanted};
use crate::ctx::Ctx;
use crate::state::class::Class as _;
use crate::state::classes::MulticastSession;
use crate::state::multicast::Start;

const LIST: &str = "/foghorn/v1/multicast-sessions";
const ONE: &str = "/foghorn/v1/multicast-sessions/{id}";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get(LIST, list)
                .needs(Role::ReadOnly)
                .named(
                    "multicast",
                    "multicast_sessions",
                    "List the current state of multicast sessions",
                )
                .query::<Which>()
                .gives::<MulticastList>(200, "Newest first."),
        )
        .add(
            post(LIST, create)
                .needs(Role::Operator)
                .named(
                    "multicast",
                    "create_multicast_session",
                    "Deploy to several hosts with one stream",
                )
                .takes::<MulticastRequest>()
                .gives::<MulticastCreated>(
                    201,
                    "The sessions, one for each image, and their tasks.",
                )
                .refuses(&[404, 409]),
        )
        .add(
            get(ONE, show)
                .needs(Role::ReadOnly)
                .named(
                    "multicast",
                    "multicast_session",
                    "Show a multicast session with its receivers",
                )
                .path::<NonZeroU32>("id", "Id of the session.")
                .gives::<MulticastStatus>(200, "The session.")
                .refuses(&[404]),
        )
        .add(
            patch(ONE, edit)
                .needs(Role::Operator)
                .named(
                    "multicast",
                    "edit_multicast_session",
                    "Change the rate of a session, or start it now",
                )
                .path::<NonZeroU32>("id", "Id of the session.")
                .rehearses()
                .takes::<MulticastEdit>()
                .gives::<MulticastStatus>(200, "The session.")
                .refuses(&[404, 409]),
        )
        .add(
            delete(ONE, cancel)
                .needs(Role::Operator)
                .named(
                    "multicast",
                    "cancel_multicast_session",
                    "Cancel a session and its tasks",
                )
                .path::<NonZeroU32>("id", "Id of the session.")
                .rehearses()
                .gives_nothing(204, "It has ended.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
struct Which {
    /// Whether ended sessions are included.
    #[serde(default)]
    all: bool,
}

/// Sessions under way, or all, the newest first.
async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(which): Query<Which>,
) -> Result<Json<MulticastList>, Refused> {
    let sessions = ctx.state.read(|tables| {
        let view = View::new(&ctx, tables);
        let rows = tables.of::<MulticastSession>();
        if which.all {
            return rows
                .iter()
                .rev()
                .filter_map(|row| view.summary(row))
                .collect();
        }
        rows.by(MulticastSession::ACTIVE, 0)
            .rev()
            .filter_map(|row| view.summary(row))
            .collect()
    });
    Ok(Json(MulticastList { sessions }))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<u32>,
) -> Result<Json<MulticastStatus>, Refused> {
    shown(&ctx, sessions::numbered(id)?).map(Json)
}

fn shown(ctx: &Ctx, id: SessionId) -> Result<MulticastStatus, Refused> {
    ctx.state
        .read(|tables| {
            tables
                .of::<MulticastSession>()
                .get(id.get())
                .and_then(|row| View::new(ctx, tables).status(row))
        })
        .ok_or_else(|| Refused::not_found(MulticastSession::NAME, id.get()))
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    caller: axum::Extension<Principal>,
    headers: HeaderMap,
    Body(body): Body<MulticastRequest>,
) -> Result<(StatusCode, Json<MulticastCreated>), Refused> {
    let now = Timestamp::now();
    let terms = Asked::from(&body).terms(now)?;
    let request = Request {
        kind: TaskTypeId::MULTICAST,
        name: body.name.unwrap_or_else(|| "Multicast".to_owned()),
        shutdown: body.shutdown,
        debug: false,
        wake: body.wake,
        passreset: String::new(),
        snapins: Wanted::Nothing,
        session: String::new(),
        terms,
        version: None,
    };
    // The time until the start does not count against the tasks.
    let wait = terms.start.at.map_or(Duration::ZERO, |at| at.since(now));
    let origin = Origin {
        by: caller.name.clone(),
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
    let created = match (body.group, body.hosts) {
        (Some(group), None) => {
            tasks::create_for_group(&ctx.state, group, &request, &origin).await?
        }
        (None, Some(hosts)) => {
            let mut seen = HashSet::new();
            let hosts: Vec<HostId> = hosts
                .into_iter()
                .filter(|host| seen.insert(*host))
                .collect();
            if hosts.is_empty() || hosts.len() > MOST_HOSTS {
                return Err(bad(
                    "hosts",
                    format!("must contain 1 to {MOST_HOSTS} hosts"),
                ));
            }
            tasks::create_for_hosts(&ctx.state, &hosts, &request, &origin).await?
        }
        (Some(_), Some(_)) => return Err(bad("hosts", "give either a group or hosts, not both")),
        (None, None) => return Err(bad("group", "a group or hosts are required")),
    };
    let sessions: Vec<_> = created.sessions.iter().map(|id| id.get()).collect();
    info!(
        ?sessions,
        tasks = created.tasks.len(),
        "multicast sessions created"
    );
    Ok((
        StatusCode::CREATED,
        Json(MulticastCreated {
            sessions: created.sessions,
            tasks: created.tasks,
            left_out: created.left_out.into_iter().map(left_out).collect(),
        }),
    ))
}

fn left_out(host: LeftOut) -> HostLeftOut {
    HostLeftOut {
        host: host.host,
        name: host.name,
        reason: host.why,
    }
}

fn bad(field: &str, why: impl Into<String>) -> Refused {
    Refused::field(StatusCode::BAD_REQUEST, field, why)
}

async fn edit(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<u32>,
    Body(body): Body<MulticastEdit>,
) -> Result<Json<MulticastStatus>, Refused> {
    if body.max_rate_bytes_per_second.is_none() && !body.start_now {
        return Err(bad("max_rate_bytes_per_second", "no change was given"));
    }
    let (id, now) = (sessions::numbered(id)?, Timestamp::now());
    let rate = body
        .max_rate_bytes_per_second
        .map(terms::limit)
        .transpose()?;
    sessions::change(&ctx.state, id, |terms| {
        terms.max_rate = rate.or(terms.max_rate);
        if body.start_now {
            terms.start = Start {
                at: Some(now),
                ..Start::default()
            };
        }
    })
    .await?;
    info!(
        session = %id,
        rate = body.max_rate_bytes_per_second,
        now = body.start_now,
        "multicast session changed"
    );
    shown(&ctx, id).map(Json)
}

async fn cancel(State(ctx): State<Arc<Ctx>>, Id(id): Id<u32>) -> Result<StatusCode, Refused> {
    let id = sessions::numbered(id)?;
    sessions::cancel(&ctx.state, id).await?;
    info!(session = %id, "multicast session cancelled");
    Ok(StatusCode::NO_CONTENT)
}
