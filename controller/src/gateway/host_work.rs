//! What a machine does for the host that it is, and tells of it.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use foghorn_rest_types::host_work::{HostInventory, HostUsers, HostWork};
use foghorn_rest_types::native::SnapinResult;
use foghorn_types::{MachineUuid, Timestamp, chain};

use super::budget::hold;
use super::door::Speaker;
use super::refused::{Refused, json, whole};
use super::{BODY, EVENTS_BODY, limited};
use crate::app::devices::work::{self, WorkError};
use crate::app::snapin_files::{self, DownloadError};
use crate::app::snapin_run::SnapinOutcome;
use crate::ctx::Ctx;
use crate::shares::{Full, Shares};

/// Files that are sent at a time: each holds a few parts of 1 MiB in memory.
const MOST_FILES: u64 = 64;
/// To one device: the end of a connection that was cut off may be noticed later than the next one comes.
const MOST_FILES_EACH: u64 = 2;

type Answer = Result<StatusCode, Refused>;
type Body = Result<Bytes, BytesRejection>;
type Files = Arc<Shares<MachineUuid>>;

pub(super) fn routes() -> Router<Arc<Ctx>> {
    let files: Files = Shares::new(MOST_FILES, MOST_FILES_EACH);
    Router::new()
        .route("/host/work", get(look))
        .route(
            "/host/snapins/{task}/file",
            get(snapin_file).layer(Extension(files)),
        )
        .route(
            "/host/snapins/{task}/result",
            limited(post(snapin_result), BODY),
        )
        .route("/host/power/{id}", limited(post(power), BODY))
        .route("/host/inventory", limited(put(inventory), BODY))
        .route("/host/users", limited(post(users), EVENTS_BODY))
}

/// `GET /host/work`
async fn look(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
) -> Result<Json<HostWork>, Refused> {
    let work = work::look(&ctx.state, device.uuid, Timestamp::now()).await?;
    Ok(Json(work))
}

/// `GET /host/snapins/{task}/file`
async fn snapin_file(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    Extension(files): Extension<Files>,
    Path(task): Path<String>,
) -> Result<Response, Refused> {
    let snapin = work::snapin_of(&ctx.state, device.uuid, number(&task)?)?;
    let share = files.take(device.uuid, 1).map_err(too_many)?;
    let response = snapin_files::answer(&ctx, snapin).await?;
    Ok(response.map(|body| hold(body, share)))
}

/// `POST /host/snapins/{task}/result`
async fn snapin_result(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    Path(task): Path<String>,
    body: Body,
) -> Answer {
    let told: SnapinResult = json(&whole(body)?)?;
    let outcome: SnapinOutcome = told.into();
    let ended = (number(&task)?, &outcome);
    work::snapin_ended(&ctx.state, device.uuid, ended, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /host/power/{id}`
async fn power(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    Path(id): Path<String>,
) -> Answer {
    work::acknowledge_power(&ctx.state, device.uuid, &id, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /host/inventory`
async fn inventory(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Body,
) -> Answer {
    let parts: HostInventory = json(&whole(body)?)?;
    work::inventory(&ctx.state, device.uuid, &parts, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /host/users`
async fn users(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Body,
) -> Answer {
    let sent: HostUsers = json(&whole(body)?)?;
    work::tell_users(&ctx.state, device.uuid, sent, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn number(task: &str) -> Result<u32, Refused> {
    let none = || Refused::new(StatusCode::NOT_FOUND, format!("{task:?} is no snapin task"));
    task.parse().map_err(|_| none())
}

fn too_many(full: Full) -> Refused {
    match full {
        Full::One => Refused::new(
            StatusCode::TOO_MANY_REQUESTS,
            "files of snapins are being sent to this device already: read them, then try again",
        ),
        Full::All => Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("files of snapins are being sent to {MOST_FILES} machines: try again"),
        ),
    }
}

impl From<WorkError> for Refused {
    fn from(error: WorkError) -> Self {
        let message = error.to_string();
        let status = match error {
            WorkError::State(refusal) => return refusal.into(),
            WorkError::Invalid { field, why } => return Self::field(&field, why),
            // It was deleted since the door.
            WorkError::NotThere(_) => StatusCode::FORBIDDEN,
            WorkError::NoHost(_) | WorkError::Withheld(_) | WorkError::Off(_) => {
                StatusCode::CONFLICT
            }
            WorkError::NoTask(_) | WorkError::NotDue(_) => StatusCode::NOT_FOUND,
            WorkError::Full => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::new(status, message)
    }
}

impl From<DownloadError> for Refused {
    fn from(error: DownloadError) -> Self {
        let message = chain(&error).to_string();
        let status = match error {
            DownloadError::NoSuchSnapin(_) | DownloadError::NoFile(_) => StatusCode::NOT_FOUND,
            DownloadError::NoNode | DownloadError::NotGiven(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, message)
    }
}
