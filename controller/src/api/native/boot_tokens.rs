//! Boot tokens of many hosts, and short codes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::{CODE_PATH, CodeRequest, CodeResponse};
use foghorn_rest_types::native::{BootTokensRequest, BootTokensResponse, HostBootToken, NamedHost};
use foghorn_types::{GroupId, HostId, Role};

use super::error::Refused;
use super::input::{Body, MOST_HOSTS};
use crate::api::routes::{Routes, post};
use crate::app::boot_tokens::{self, BootTokens, LONGEST_CODE, Whom, Wish};
use crate::app::short_codes::{self, CodeError};
use crate::ctx::Ctx;

const DAY: u32 = 24 * 60 * 60;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            post("/foghorn/v1/boot-tokens", create)
                .needs(Role::Operator)
                .named(
                    "hosts",
                    "boot_tokens",
                    "Create boot tokens for the active tasks of several hosts",
                )
                .about(
                    "One for each host, and if wanted one for all of them, or a short code. However a \
                     host comes, it checks in once. Hosts without an active imaging task get none \
                     and are listed.",
                )
                .takes::<BootTokensRequest>()
                .gives::<BootTokensResponse>(200, "The tokens, shown once.")
                .refuses(&[404, 409]),
        )
        .add(
            post(CODE_PATH, exchange)
                .open()
                .named(
                    "enrolment",
                    "exchange_code",
                    "Exchange a short code for the boot token of the machine",
                )
                .about(
                    "SPAKE2, as docs/decisions/0016-short-codes.md describes it: the code is not \
                     sent, and only who knows it can read the answer. Every request is counted.",
                )
                .takes::<CodeRequest>()
                .gives::<CodeResponse>(200, "For whoever knows the code.")
                .refuses(&[403, 404, 410, 429]),
        )
}

/// The hosts that a request names.
pub(super) fn whom(hosts: Option<Vec<HostId>>, group: Option<GroupId>) -> Result<Whom, Refused> {
    let bad = |field, why: String| Err(Refused::field(StatusCode::BAD_REQUEST, field, why));
    match (hosts, group) {
        (Some(hosts), None) if hosts.is_empty() || hosts.len() > MOST_HOSTS => {
            bad("hosts", format!("must contain 1 to {MOST_HOSTS} hosts"))
        }
        (Some(hosts), None) => Ok(Whom::Hosts(hosts)),
        (None, Some(group)) => Ok(Whom::Group(group)),
        (None, None) => bad("hosts", "one of hosts and group is required".to_owned()),
        (Some(_), Some(_)) => bad(
            "group",
            "only one of hosts and group can be given".to_owned(),
        ),
    }
}

fn ttl(ctx: &Ctx, request: &BootTokensRequest) -> Result<Duration, Refused> {
    let usual = ctx.settings.boot_token_ttl;
    if !request.code {
        return super::nodes::ttl(request.ttl_seconds, DAY, usual);
    }
    let most = u32::try_from(LONGEST_CODE.as_secs()).unwrap_or(DAY);
    super::nodes::ttl(request.ttl_seconds, most, usual.min(LONGEST_CODE))
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    Body(request): Body<BootTokensRequest>,
) -> Result<Json<BootTokensResponse>, Refused> {
    let ttl = ttl(&ctx, &request)?;
    let wish = Wish {
        room: request.room,
        code: request.code,
    };
    let whom = whom(request.hosts, request.group)?;
    let made = boot_tokens::create(&ctx, &whom, wish, ttl).await?;
    Ok(Json(view(&ctx, made)))
}

fn view(ctx: &Ctx, made: BootTokens) -> BootTokensResponse {
    let host = |token: boot_tokens::HostToken| HostBootToken {
        host: token.host,
        name: token.name,
        mac: token.mac,
        task: token.task,
        token: token.text,
    };
    BootTokensResponse {
        controller: ctx.settings.machines_url.clone(),
        expires: made.expires.to_string(),
        hosts: made.hosts.into_iter().map(host).collect(),
        without_task: made
            .without_task
            .into_iter()
            .map(|(host, name)| NamedHost { host, name })
            .collect(),
        room_token: made.room,
        code: made.code.map(|code| code.to_string()),
    }
}

async fn exchange(
    State(ctx): State<Arc<Ctx>>,
    parts: Parts,
    Body(asked): Body<CodeRequest>,
) -> Response {
    let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let from = ctx
        .doors
        .address_of(connection.map(|from| from.0.ip()), &parts.headers);
    match short_codes::exchange(&ctx, &asked, from) {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refused(error),
    }
}

fn refused(error: CodeError) -> Response {
    let text = error.to_string();
    match error {
        CodeError::TooMany { wait } => {
            let seconds = (wait.as_secs() + 1).to_string();
            let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, text);
            ([(header::RETRY_AFTER, seconds)], refused).into_response()
        }
        CodeError::TooManyOfHost { .. } => {
            Refused::new(StatusCode::FORBIDDEN, text).into_response()
        }
        CodeError::NoHost { .. } => {
            Refused::field(StatusCode::NOT_FOUND, "mac", text).into_response()
        }
        CodeError::NoCode { .. } => Refused::new(StatusCode::NOT_FOUND, text).into_response(),
        CodeError::Used { .. } => Refused::new(StatusCode::GONE, text).into_response(),
        CodeError::Exchange(_) => {
            Refused::field(StatusCode::BAD_REQUEST, "message", text).into_response()
        }
    }
}
