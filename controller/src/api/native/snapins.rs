//! Hosts that run snapins: the next one, and how it went.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_rest_types::native::{SnapinNext, SnapinResult};
use foghorn_types::{HostId, Role, Timestamp};

use super::error::Refused;
use super::input::{Body, Id};
use crate::api::routes::{Routes, get, post};
use crate::app::{snapin_run, snapin_view};
use crate::ctx::Ctx;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/hosts/{id}/snapins/next", next)
                .needs(Role::Operator)
                .named("snapins", "next_snapin", "Fetch the next snapin of a host")
                .path::<HostId>("id", "Id of the host.")
                .gives::<SnapinNext>(200, "The snapin, or that there is none.")
                .refuses(&[404, 500, 503]),
        )
        .add(
            post("/foghorn/v1/hosts/{id}/snapintasks/{task}/result", result)
                .needs(Role::Operator)
                .named(
                    "snapins",
                    "snapin_result",
                    "Report the result of a snapin on a host",
                )
                .about("Reporting the same result again has no effect.")
                .path::<HostId>("id", "Id of the host.")
                .path::<NonZeroU32>("task", "Id of the snapin task.")
                .takes::<SnapinResult>()
                .gives_nothing(204, "It is recorded.")
                .refuses(&[404]),
        )
}

async fn next(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
) -> Result<Json<SnapinNext>, Refused> {
    let next = snapin_run::next(&ctx.state, host, Timestamp::now()).await?;
    let url = |_task, snapin| format!("/foghorn/v1/snapins/{snapin}/file");
    Ok(Json(snapin_view::next(&next, url)))
}

async fn result(
    State(ctx): State<Arc<Ctx>>,
    Path((host, task)): Path<(String, String)>,
    Body(body): Body<SnapinResult>,
) -> Result<StatusCode, Refused> {
    let bad = |text: &str| {
        Refused::field(
            StatusCode::BAD_REQUEST,
            "id",
            format!("{text:?} is not an id"),
        )
    };
    let host: HostId = host.parse().map_err(|_| bad(&host))?;
    let task: u32 = task.parse().map_err(|_| bad(&task))?;
    snapin_run::report(&ctx.state, host, task, &body.into(), Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
