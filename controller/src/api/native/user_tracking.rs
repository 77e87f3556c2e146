//! Log-ins and log-outs that a host's own client reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::native::{TrackedAction, UserTrackingReport, UserTrackingStored};
use foghorn_types::{HostId, Role, Timestamp};

use super::error::Refused;
use super::input::{Body, Id};
use crate::api::routes::{Routes, post};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::classes::{Host, UserTracking};
use crate::state::value::{FogDate, FogTime};

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

/// FOG's number of an action.
fn code(action: TrackedAction) -> &'static str {
    match action {
        TrackedAction::Login => "1",
        TrackedAction::Logout => "0",
        TrackedAction::Start => "99",
    }
}

async fn report(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
    Body(report): Body<UserTrackingReport>,
) -> Result<(StatusCode, Json<UserTrackingStored>), Refused> {
    let username = report.user.trim().to_owned();
    if username.is_empty() || username.chars().count() > 50 {
        return Err(Refused::field(
            StatusCode::BAD_REQUEST,
            "user",
            "a name must have 1 to 50 characters",
        ));
    }
    let at = match &report.time {
        None => Timestamp::now(),
        Some(text) => text
            .parse()
            .map_err(|error: foghorn_types::ParseTimestampError| {
                Refused::field(StatusCode::BAD_REQUEST, "time", error.to_string())
            })?,
    };
    let at: FogTime = at.into();
    let row = UserTracking {
        host: host.get(),
        username,
        action: code(report.action).to_owned(),
        date: FogDate::read(&at.text()),
        at,
        description: report
            .description
            .unwrap_or_default()
            .chars()
            .take(250)
            .collect(),
        ..UserTracking::default()
    };
    let id = ctx
        .state
        .write(|draft| {
            if draft.tables().of::<Host>().get(host.get()).is_none() {
                return Err(Refusal::NotFound {
                    class: "host",
                    id: host.get(),
                });
            }
            draft.require_present::<Host>(host.get());
            draft.insert(row.clone())
        })
        .await?;
    Ok((StatusCode::CREATED, Json(UserTrackingStored { id })))
}
