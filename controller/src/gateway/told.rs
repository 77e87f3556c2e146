//! What a device says about itself.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::door::Speaker;
use super::refused::{Refused, json, whole};
use crate::app::devices::report::{self, ReportError};
use crate::ctx::Ctx;
use crate::state::machines::device::Network;

type Answer = Result<StatusCode, Refused>;
type Body = Result<Bytes, BytesRejection>;

/// `PUT /system_info`
pub(super) async fn hardware(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Body,
) -> Answer {
    let told: Value = json(&whole(body)?)?;
    report::hardware(&ctx.state, device.uuid, &told).await?;
    Ok(StatusCode::OK)
}

/// As devices write it: what is missing or null is not known.
#[derive(Deserialize)]
struct Sent {
    hostname: Option<String>,
    mac: Option<String>,
    local_ipv4: Option<String>,
}

/// `PUT /system_info/network`
pub(super) async fn network(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Body,
) -> Answer {
    let sent: Sent = json(&whole(body)?)?;
    let told = Network {
        hostname: sent.hostname.unwrap_or_default(),
        mac: sent.mac.unwrap_or_default(),
        local_ipv4: sent.local_ipv4.unwrap_or_default(),
    };
    report::network(&ctx.state, device.uuid, &told).await?;
    Ok(StatusCode::OK)
}

/// `PUT /system_info/config`
pub(super) async fn settings(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Body,
) -> Answer {
    let body = whole(body)?;
    let told = std::str::from_utf8(&body).map_err(|_| Refused::bad("the body is no text"))?;
    report::aktualizr_toml(&ctx.state, device.uuid, told).await?;
    Ok(StatusCode::OK)
}

/// `POST /apps-states`
pub(super) async fn apps(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Body,
) -> Answer {
    let told: Value = json(&whole(body)?)?;
    if !told.is_object() {
        return Err(Refused::bad("the body is not a map"));
    }
    report::apps_state(&ctx.state, device.uuid, &told).await?;
    Ok(StatusCode::OK)
}

impl From<ReportError> for Refused {
    fn from(error: ReportError) -> Self {
        match error {
            // It was deleted since the door.
            ReportError::NotThere(_) => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            ReportError::TooLong { .. } => Self::too_large(error.to_string()),
            ReportError::Invalid { field, why } => Self::field(field, why),
            ReportError::State(refusal) => refusal.into(),
        }
    }
}
