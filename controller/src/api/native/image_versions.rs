//! The versions of an image: what captures have replaced is listed, made the present content again,
//! or given up.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_rest_types::native::{ImageVersion, ImageVersions, Named, UndoRequest, VersionState};
use foghorn_types::{HostId, ImageId, Role, TaskId, Timestamp, chain};
use tracing::info;

use super::damage;
use super::error::Refused;
use super::input::{Body, Id};
use super::names::image_name;
use super::nodes::node_view;
use crate::agents::health::Health;
use crate::api::routes::{Routes, delete, get, post};
use crate::app::versions::{self, UndoError, Unusable};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::Image;
use crate::state::content::{CapturedFrom, ImageContent};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/images/{id}/versions", list)
                .needs(Role::ReadOnly)
                .named("images", "image_versions", "List the versions of an image")
                .about(
                    "A capture into an image that has content keeps what it replaces for a while. A deploy writes the version \
                     that is present when its machine comes, unless its order names another.",
                )
                .path::<ImageId>("id", "Id of the image.")
                .gives::<ImageVersions>(200, "The versions.")
                .refuses(&[404]),
        )
        .add(
            post("/foghorn/v1/images/{id}/undo", undo)
                .needs(Role::Operator)
                .named("images", "undo_image", "Make an earlier version of an image the present one")
                .about("The version that was present is kept as an earlier one. Deploys that have begun keep theirs.")
                .path::<ImageId>("id", "Id of the image.")
                .rehearses()
                .takes::<UndoRequest>()
                .gives::<ImageVersions>(200, "The versions afterwards.")
                .refuses(&[404, 409]),
        )
        .add(
            delete("/foghorn/v1/images/{id}/versions/{version}", drop)
                .needs(Role::Operator)
                .named("images", "drop_image_version", "Delete an earlier version of an image")
                .about("Storage nodes delete it when no deploy uses it any more.")
                .path::<ImageId>("id", "Id of the image.")
                .path::<u32>("version", "Number of the version.")
                .rehearses()
                .gives_nothing(204, "Its removal is ordered.")
                .refuses(&[404, 409]),
        )
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Id(image): Id<ImageId>,
) -> Result<Json<ImageVersions>, Refused> {
    view(&ctx, image)
        .map(Json)
        .ok_or_else(|| Refused::not_found("image", image))
}

async fn undo(
    State(ctx): State<Arc<Ctx>>,
    Id(image): Id<ImageId>,
    Body(body): Body<UndoRequest>,
) -> Result<Json<ImageVersions>, Refused> {
    let health = Health::now(&ctx.live);
    let lost = |content: &ImageContent| {
        if is_lost(&ctx, content) {
            return Some(Unusable::Lost);
        }
        let at = health.of(content.manifest);
        at.filter(|at| at.whole_on.is_empty())
            .map(|_| Unusable::Damaged)
    };
    let keep = ctx.settings.versions;
    let version = versions::undo(&ctx.state, image, body.version, keep, lost).await?;
    info!(%image, version, "made an earlier version of an image the present one");
    view(&ctx, image)
        .map(Json)
        .ok_or_else(|| Refused::not_found("image", image))
}

async fn drop(
    State(ctx): State<Arc<Ctx>>,
    Path((image, version)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let image: ImageId = image
        .parse()
        .map_err(|_| Refused::not_found("image", image))?;
    let number: u32 = version
        .parse()
        .map_err(|_| Refused::not_found("version", version))?;
    versions::drop(&ctx.state, image, number).await?;
    info!(%image, version = number, "ordered the removal of an earlier version of an image");
    Ok(StatusCode::NO_CONTENT)
}

/// A node may report its content some time after a capture has ended.
const REPORTED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Whether the nodes that should hold it are connected and do not.
fn is_lost(ctx: &Ctx, content: &ImageContent) -> bool {
    content.captured_at + REPORTED_WITHIN < Timestamp::now()
        && !content.nodes.is_empty()
        && content.nodes.iter().all(|node| {
            ctx.live.node(*node).is_some_and(|live| {
                live.online
                    && live.reported
                    && !live.manifests.contains(&(content.image, content.manifest))
            })
        })
}

pub(super) fn captured_from(from: &CapturedFrom) -> Named<HostId> {
    Named {
        id: from.host,
        name: from.name.clone(),
    }
}

fn view(ctx: &Ctx, image: ImageId) -> Option<ImageVersions> {
    let keep = ctx.settings.versions;
    ctx.state.read(|tables| {
        tables.of::<Image>().get(image.get())?;
        let content = tables.contents().get(&image);
        let all = content.into_iter().flat_map(|content| {
            let kept = content.previous.iter();
            let kept = kept.map(|previous| (&previous.content, Some(previous.replaced_at)));
            std::iter::once((&**content, None)).chain(kept)
        });
        let versions = all
            .map(|(content, replaced)| ImageVersion {
                state: match replaced {
                    _ if is_lost(ctx, content) => VersionState::Lost,
                    None => VersionState::Present,
                    Some(_) => VersionState::Kept,
                },
                replaced: replaced.map(|at| at.to_string()),
                kept_until: replaced.map(|at| (at + keep.keep).to_string()),
                damaged: damage::of_content(&ctx.live.nodes(), tables, content),
                ..version(tables, content)
            })
            .collect();
        Some(ImageVersions {
            image: image_name(tables, image),
            versions,
            keep_versions: keep.most,
            keep_days: keep.keep.as_secs() / SECONDS_PER_DAY,
        })
    })
}

fn version(tables: &Tables, content: &ImageContent) -> ImageVersion {
    let runs = tables.runs().active().filter(|run| {
        run.image == content.image
            && versions::of_run(tables, run).is_some_and(|own| own.manifest == content.manifest)
    });
    let tasks: Vec<TaskId> = runs.map(|run| run.task).collect();
    let nodes = content.nodes.iter();
    ImageVersion {
        version: content.version,
        state: VersionState::Present,
        manifest: content.manifest,
        captured: content.captured_at.to_string(),
        captured_from: content.from.as_ref().map(captured_from),
        used_bytes: content.used_bytes,
        stored_bytes: content.stored_bytes,
        nodes: nodes.map(|node| node_view(tables, *node)).collect(),
        replaced: None,
        kept_until: None,
        damaged: Vec::new(),
        tasks,
    }
}

impl From<UndoError> for Refused {
    fn from(error: UndoError) -> Self {
        let text = chain(&error).to_string();
        match error {
            UndoError::NoImage(_) => Self::new(StatusCode::NOT_FOUND, text),
            UndoError::NoVersion { .. } => Self::field(StatusCode::NOT_FOUND, "version", text),
            UndoError::NothingKept(_) => Self::new(StatusCode::CONFLICT, text),
            UndoError::IsPresent { .. } | UndoError::Lost { .. } | UndoError::Damaged { .. } => {
                Self::field(StatusCode::CONFLICT, "version", text)
            }
            UndoError::State(refusal) => refusal.into(),
        }
    }
}
