//! Hosts that run snapins: the next one, and how it went.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_rest_types::native::{SnapinNext, SnapinResult, SnapinRun};
use foghorn_types::{HostId, Timestamp};

use super::error::Refused;
use super::json::{Body, Id};
use super::operator::Operator;
use crate::app::snapin_run::{self, Next, Outcome};
use crate::ctx::Ctx;
use crate::state::classes::{Snapin, SnapinTask};

pub(super) async fn next(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Id(host): Id<HostId>,
) -> Result<Json<SnapinNext>, Refused> {
    Ok(Json(match snapin_run::next(&ctx.state, host, Timestamp::now()).await? {
        Next::Later => SnapinNext::Wait,
        Next::Nothing => SnapinNext::Nothing,
        Next::Run(run) => SnapinNext::Run(Box::new(view(&run.0, &run.1))),
    }))
}

pub(super) async fn result(
    State(ctx): State<Arc<Ctx>>,
    _operator: Operator,
    Path((host, task)): Path<(String, String)>,
    Body(body): Body<SnapinResult>,
) -> Result<StatusCode, Refused> {
    let bad = |text: &str| Refused::field(StatusCode::BAD_REQUEST, "id", format!("{text:?} is no id"));
    let host: HostId = host.parse().map_err(|_| bad(&host))?;
    let task: u32 = task.parse().map_err(|_| bad(&task))?;
    let outcome = Outcome { exit_code: body.exit_code, details: body.details };
    snapin_run::report(&ctx.state, host, task, &outcome, Timestamp::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(task: &SnapinTask, snapin: &Snapin) -> SnapinRun {
    SnapinRun {
        snapin_task: task.id,
        snapin: snapin.id,
        name: snapin.name.clone(),
        file: snapin.file.clone(),
        args: snapin.args.clone(),
        run_with: snapin.run_with.clone(),
        run_with_args: snapin.run_with_args.clone(),
        timeout_seconds: u64::try_from(snapin.timeout).unwrap_or(0),
        hide: snapin.hide.is_yes(),
        unpack: snapin.packtype.is_yes(),
        reboot: snapin.reboot == "1",
        shutdown: snapin.shutdown.is_yes(),
        sha512: snapin.hash.clone(),
        size_bytes: u64::try_from(snapin.size).unwrap_or(0),
        url: format!("/foghorn/v1/snapins/{}/file", snapin.id),
    }
}
