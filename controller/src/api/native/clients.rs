//! Machines to be imaged: boot token, check-in, order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::{
    CHECK_IN_PATH, CheckInRequest, CheckInResponse, FURTHER_PATH, FurtherRequest, FurtherResponse,
    LOOK_PATH, LookRequest, LookResponse, ORDER_PATH, Order, UNREACHED_PATH, UnreachedRequest,
    UnreachedResponse,
};
use foghorn_rest_types::native::{BootTokenRequest, BootTokenResponse};
use foghorn_types::{HostId, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::error::Refused;
use super::input::{Body, Id, Query};
use crate::api::routes::{Routes, get, post};
use crate::app::check_in;
use crate::app::further::{self, ClaimError};
use crate::app::unreached::{self, UnreachedError};
use crate::ctx::Ctx;

/// The longest that a client may wait for its order in one request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const DAY: u32 = 24 * 60 * 60;

/// A client has no user: it checks in with a one-time token, and asks for its order with the bearer
/// that it got for that.
pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            post(CHECK_IN_PATH, check_in)
                .open()
                .named("enrolment", "check_in", "Check in with a boot token")
                .takes::<CheckInRequest>()
                .gives::<CheckInResponse>(
                    200,
                    "The client's certificate and, if it already exists, its order.",
                )
                .refuses(&[403, 404, 409, 410]),
        )
        .add(
            post(LOOK_PATH, look)
                .open()
                .named(
                    "enrolment",
                    "look",
                    "What a machine must have for the task behind a boot token",
                )
                .about(
                    "For checks before the check-in. The token stays unused, and nothing else is \
                     changed either.",
                )
                .takes::<LookRequest>()
                .gives::<LookResponse>(200, "The task, and the disks that it needs.")
                .refuses(&[403, 409, 410]),
        )
        .add(
            get(ORDER_PATH, order)
                .open()
                .named(
                    "enrolment",
                    "order",
                    "Wait for the order of a checked-in client",
                )
                .about("Takes the session of the check-in as `Authorization: Bearer SESSION`.")
                .query::<Wait>()
                .gives::<Order>(200, "The order.")
                .gives_nothing(204, "There is none yet.")
                .refuses(&[401, 403, 410]),
        )
        .add(
            post(UNREACHED_PATH, unreached)
                .open()
                .named(
                    "enrolment",
                    "unreached",
                    "Report that the storage node of a client does not answer",
                )
                .about(
                    "Takes the session of the check-in as `Authorization: Bearer SESSION`. The task \
                     shows it as the reason why it waits, and as the reason of its failure when the \
                     client gives up.",
                )
                .takes::<UnreachedRequest>()
                .gives::<UnreachedResponse>(200, "What is known about the node.")
                .refuses(&[401, 403, 409, 410]),
        )
        .add(
            post(FURTHER_PATH, further_sources)
                .open()
                .named(
                    "enrolment",
                    "further_sources",
                    "Ask for storage nodes that serve a client beside the one that has its task",
                )
                .about(
                    "Takes the session of the check-in as `Authorization: Bearer SESSION`. The nodes \
                     are of the same site, hold the image and have places that no task has; they \
                     serve the client as long as nobody waits for these.",
                )
                .takes::<FurtherRequest>()
                .gives::<FurtherResponse>(200, "The nodes.")
                .refuses(&[401, 403, 410]),
        )
        .add(
            post("/foghorn/v1/hosts/{id}/boot-token", boot_token)
                .needs(Role::Operator)
                .named(
                    "hosts",
                    "boot_token",
                    "Create a boot token for the active task of a host",
                )
                .path::<HostId>("id", "Id of the host.")
                .may_take::<BootTokenRequest>()
                .gives::<BootTokenResponse>(200, "The token, shown once.")
                .refuses(&[404, 409]),
        )
}

async fn boot_token(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
    Body(request): Body<BootTokenRequest>,
) -> Result<Json<BootTokenResponse>, Refused> {
    let ttl = super::nodes::ttl(request.ttl_seconds, DAY, ctx.settings.boot_token_ttl)?;
    let token = check_in::boot_token(&ctx, host, ttl).await?;
    Ok(Json(BootTokenResponse {
        token: token.text,
        host,
        task: token.task,
        expires: token.expires.to_string(),
    }))
}

async fn check_in(
    State(ctx): State<Arc<Ctx>>,
    parts: Parts,
    Body(request): Body<CheckInRequest>,
) -> Result<Json<CheckInResponse>, Refused> {
    let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let from = connection.map(|peer| ctx.doors.address_of(Some(peer.0.ip()), &parts.headers));
    Ok(Json(check_in::check_in(&ctx, &request, from).await?))
}

async fn look(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<LookRequest>,
) -> Result<Json<LookResponse>, Refused> {
    Ok(Json(check_in::look(&ctx, &request)?))
}

#[derive(Deserialize, JsonSchema)]
struct Wait {
    /// Seconds to wait, at most 30.
    #[serde(default)]
    wait: u64,
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(|| {
            Refused::new(
                StatusCode::UNAUTHORIZED,
                "the bearer token of a check-in is required",
            )
        })
}

async fn unreached(
    State(ctx): State<Arc<Ctx>>,
    headers: HeaderMap,
    Body(request): Body<UnreachedRequest>,
) -> Result<Json<UnreachedResponse>, Refused> {
    let reported = unreached::report(&ctx, bearer(&headers)?, &request).await;
    let refused = |error: UnreachedError| {
        let status = match &error {
            UnreachedError::Stranger => StatusCode::FORBIDDEN,
            UnreachedError::Ended { .. } => StatusCode::GONE,
            UnreachedError::NoNode | UnreachedError::OtherAddress(_) => StatusCode::CONFLICT,
            UnreachedError::Move(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused::new(status, foghorn_types::chain(&error).to_string())
    };
    Ok(Json(reported.map_err(refused)?))
}

async fn further_sources(
    State(ctx): State<Arc<Ctx>>,
    headers: HeaderMap,
    Body(request): Body<FurtherRequest>,
) -> Result<Json<FurtherResponse>, Refused> {
    let claimed = further::claim(&ctx, bearer(&headers)?, &request).await;
    let refused = |error: ClaimError| match error {
        ClaimError::State(refusal) => refusal.into(),
        ClaimError::Stranger => Refused::new(StatusCode::FORBIDDEN, error.to_string()),
        ClaimError::Ended { .. } => Refused::new(StatusCode::GONE, error.to_string()),
    };
    Ok(Json(claimed.map_err(refused)?))
}

async fn order(
    State(ctx): State<Arc<Ctx>>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let bearer = bearer(&headers)?;
    let until = Instant::now() + Duration::from_secs(query.wait).min(LONGEST_WAIT);
    let (mut tables, mut links) = (ctx.state.changed(), ctx.live.changed());
    loop {
        tables.mark_unchanged();
        links.mark_unchanged();
        let order = ctx.state.read(|tables| {
            let run = tables.runs().by_session(bearer).ok_or_else(|| {
                Refused::new(StatusCode::FORBIDDEN, "no check-in has this bearer token")
            })?;
            match check_in::ended_because(run) {
                Some(reason) => Err(Refused::new(
                    StatusCode::GONE,
                    format!("the task has ended: {reason}"),
                )),
                None => Ok(check_in::order(&ctx, tables, run, bearer)),
            }
        })?;
        if let Some(order) = order {
            return Ok(Json(order).into_response());
        }
        tokio::select! {
            biased;
            Ok(()) = tables.changed() => {}
            Ok(()) = links.changed() => {}
            () = tokio::time::sleep_until(until) => return Ok(StatusCode::NO_CONTENT.into_response()),
        }
    }
}
