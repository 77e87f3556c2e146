//! Machines to be imaged: boot token, check-in, order.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::{CheckInRequest, CheckInResponse};
use foghorn_rest_types::native::{BootTokenRequest, BootTokenResponse};
use foghorn_types::HostId;
use serde::Deserialize;
use tokio::time::Instant;

use super::error::Refused;
use super::json::{Body, Id};
use super::operator::Operator;
use crate::app::check_in;
use crate::ctx::Ctx;

/// The longest that a client may wait for its order in one request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const DAY: u32 = 24 * 60 * 60;

pub(super) async fn boot_token(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(host): Id<HostId>,
    Body(request): Body<BootTokenRequest>,
) -> Result<Json<BootTokenResponse>, Refused> {
    let ttl = super::nodes::ttl(request.ttl_seconds, DAY, ctx.settings.boot_token_ttl)?;
    let token = check_in::boot_token(&ctx, host, ttl).await?;
    Ok(Json(BootTokenResponse { token: token.text, host, task: token.task, expires: token.expires.to_string() }))
}

pub(super) async fn check_in(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<CheckInRequest>,
) -> Result<Json<CheckInResponse>, Refused> {
    Ok(Json(check_in::check_in(&ctx, &request).await?))
}

#[derive(Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait: u64,
}

pub(super) async fn order(
    State(ctx): State<Arc<Ctx>>,
    query: Query<Wait>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(|| Refused::new(StatusCode::UNAUTHORIZED, "the bearer of a check-in is required"))?;
    let until = Instant::now() + Duration::from_secs(query.wait).min(LONGEST_WAIT);
    let (mut tables, mut links) = (ctx.state.changed(), ctx.live.changed());
    loop {
        tables.mark_unchanged();
        links.mark_unchanged();
        let order = ctx.state.read(|tables| {
            let run = tables
                .runs()
                .by_session(bearer)
                .ok_or_else(|| Refused::new(StatusCode::FORBIDDEN, "no check-in has this bearer"))?;
            match check_in::ended_because(run) {
                Some(reason) => Err(Refused::new(StatusCode::GONE, format!("the task has ended: {reason}"))),
                None => Ok(check_in::order(&ctx, tables, run)),
            }
        })?;
        if let Some(order) = order {
            return Ok(Json(order).into_response());
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => return Ok(StatusCode::NO_CONTENT.into_response()),
            Ok(()) = tables.changed() => {}
            Ok(()) = links.changed() => {}
        }
    }
}
