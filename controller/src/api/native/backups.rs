//! Backups of the embedded store, on the machine of the controller.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foghorn_rest_types::backup::{Backup as BackupView, BackupList};
use foghorn_types::{Role, Timestamp, chain};
use tracing::warn;

use super::error::Refused;
use crate::api::routes::{Routes, get, post};
use crate::backups::{Backup, BackupError, Kind};
use crate::ctx::Ctx;
use crate::store::CopyError;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/backups", list)
                .needs(Role::ReadOnly)
                .named(
                    "health",
                    "backups",
                    "List the backups of the embedded store",
                )
                .about("Of the controller that answers. With etcd there are none.")
                .gives::<BackupList>(200, "The backups, the oldest first."),
        )
        .add(
            post("/foghorn/v1/backups", make)
                .needs(Role::Administrator)
                .named("health", "make_backup", "Back up the embedded store now")
                .about(
                    "Written to a folder on the machine of the controller, with the certificate \
                     authority. Stays until it is removed by hand.",
                )
                .gives::<BackupView>(201, "The backup is whole and on the disk.")
                .refuses(&[409, 503, 507]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Result<Json<BackupList>, Refused> {
    let backups = ctx.backups.list().map_err(|error| {
        warn!(error = %chain(&error), "the backups could not be listed");
        let text = format!("the folder of backups could not be read: {error}");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    Ok(Json(BackupList {
        every_seconds: ctx.settings.backup_every.map(|every| every.as_secs()),
        backups: backups.iter().map(view).collect(),
    }))
}

async fn make(State(ctx): State<Arc<Ctx>>) -> Result<(StatusCode, Json<BackupView>), Refused> {
    // A caller that goes away must not leave half a backup under way.
    let backups = ctx.backups.clone();
    let making = tokio::spawn(async move { backups.make(Kind::Asked, Timestamp::now()).await });
    let made = making
        .await
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))??;
    Ok((StatusCode::CREATED, Json(view(&made))))
}

fn view(backup: &Backup) -> BackupView {
    BackupView {
        name: backup.name.to_string(),
        kind: backup.name.kind().word().to_owned(),
        made: backup.name.made().to_string(),
        bytes: backup.size,
        path: backup.path.display().to_string(),
    }
}

impl From<BackupError> for Refused {
    fn from(error: BackupError) -> Self {
        let status = match &error {
            BackupError::Copy(CopyError::NotHere) => StatusCode::CONFLICT,
            BackupError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            BackupError::Copy(CopyError::Store(_) | CopyError::Failed { .. })
            | BackupError::Write { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        warn!(error = %chain(&error), "a backup could not be made");
        Self::new(status, chain(&error).to_string())
    }
}
