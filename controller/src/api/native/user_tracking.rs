//! Log-ins and log-outs that a host's own client reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{UserTrackingReport, UserTrackingStored};
use foghorn_types::{HostId, Role, Timestamp};

use super::error::Refused;
use super::input::{Body, Id};
use crate::api::routes::{Routes, post};
use crate::app::user_tracking::{self, BadReport};
use crate::ctx::Ctx;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        post("/foghorn/v1/hosts/{id}/user-tracking", report)
            .needs(Role::Operator)
            .named(
                "hosts",
                "track_user",
                "Report log-ins and log-outs on a host",
            )
            .path::<HostId>("id", "Id of the host.")
            .takes::<UserTrackingReport>()
            .gives::<UserTrackingStored>(201, "It is stored.")
            .refuses(&[404]),
    )
}

async fn report(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
    Body(report): Body<UserTrackingReport>,
) -> Result<(StatusCode, Json<UserTrackingStored>), Refused> {
    let row = user_tracking::row(report, Timestamp::now())
        .map_err(|BadReport { field, why }| Refused::field(StatusCode::BAD_REQUEST, field, why))?;
    let id = user_tracking::add(&ctx.state, host, &row).await?;
    Ok((StatusCode::CREATED, Json(UserTrackingStored { id })))
}
