//! Files of snapins: up, and down again.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use foghorn_rest_types::native::SnapinFileStatus;
use foghorn_types::{Role, SnapinId, StorageNodeId, chain};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::Refused;
use super::input::Query;
use super::nodes::node_view;
use crate::api::routes::{Routes, get, put};
use crate::app::snapin_files::{self, DownloadError, UploadError};
use crate::ctx::Ctx;
use crate::state::snapin_file::SnapinFile;
use crate::uploads::SpoolError;

/// Bodies of any size; the time limit applies to silence, not to the whole transfer.
pub(in crate::api) const PATH: &str = "/foghorn/v1/snapins/{id}/file";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            put(PATH, upload)
                .needs(Role::Operator)
                .named("snapins", "upload_snapin_file", "Upload the file of a snapin")
                .about("Answers when a storage node of the snapin's groups has verified and flushed it; the others follow.")
                .path::<NonZeroU32>("id", "Number of the snapin.")
                .query::<Name>()
                .takes_file()
                .gives::<SnapinFileStatus>(200, "What is stored.")
                .refuses(&[404]),
        )
        .add(
            get(PATH, download)
                .needs(Role::Operator)
                .named("snapins", "snapin_file", "Download the file of a snapin")
                .path::<NonZeroU32>("id", "Number of the snapin.")
                .gives_file("The content, with its SHA-512 as `ETag` and in `Repr-Digest`.")
                .refuses(&[404, 500, 503]),
        )
}

#[derive(Deserialize, JsonSchema)]
struct Name {
    /// Name of the file, 1 to 255 bytes without a folder. Required.
    #[serde(default)]
    name: String,
}

fn snapin(text: &str) -> Result<SnapinId, Refused> {
    let bad = || {
        Refused::field(
            StatusCode::BAD_REQUEST,
            "id",
            format!("{text:?} is not an id"),
        )
    };
    let number = text.parse().map_err(|_| bad())?;
    SnapinId::new(number).ok_or_else(|| Refused::not_found("snapin", number))
}

/// Takes the body as the file of a snapin. Its time is bounded by what comes, not by the clock.
async fn upload(
    State(ctx): State<Arc<Ctx>>,
    Path(id): Path<String>,
    Query(query): Query<Name>,
    body: Body,
) -> Result<Json<SnapinFileStatus>, Refused> {
    let file =
        snapin_files::upload(&ctx, snapin(&id)?, &query.name, body.into_data_stream()).await?;
    Ok(Json(view(&ctx, &file, query.name)))
}

fn view(ctx: &Ctx, file: &SnapinFile, name: String) -> SnapinFileStatus {
    let node = |tables: &crate::state::Tables, node: StorageNodeId| node_view(tables, node);
    SnapinFileStatus {
        snapin: file.snapin,
        file: name,
        sha512: file.sha512.clone(),
        size_bytes: file.size.bytes(),
        uploaded: file.uploaded_at.to_string(),
        nodes: ctx
            .state
            .read(|tables| file.nodes.iter().map(|id| node(tables, *id)).collect()),
    }
}

async fn download(
    State(ctx): State<Arc<Ctx>>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    Ok(snapin_files::answer(&ctx, snapin(&id)?).await?)
}

impl From<UploadError> for Refused {
    fn from(error: UploadError) -> Self {
        let text = chain(&error).to_string();
        match error {
            UploadError::NoSuchSnapin(id) => Self::not_found("snapin", id.get()),
            UploadError::BadName(_) => Self::field(StatusCode::BAD_REQUEST, "name", text),
            UploadError::Spool(SpoolError::TooLarge { .. }) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            UploadError::Spool(SpoolError::BrokenBody) => Self::new(StatusCode::BAD_REQUEST, text),
            UploadError::NoNode
            | UploadError::NotStored(_)
            | UploadError::Spool(SpoolError::Busy | SpoolError::Disk { .. }) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
            UploadError::State(refusal) => refusal.into(),
        }
    }
}

impl From<DownloadError> for Refused {
    fn from(error: DownloadError) -> Self {
        let text = chain(&error).to_string();
        match error {
            DownloadError::NoSuchSnapin(id) => Self::not_found("snapin", id.get()),
            DownloadError::NoFile(_) => Self::new(StatusCode::NOT_FOUND, text),
            DownloadError::NoNode | DownloadError::NotGiven(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}
