//! Images and what they contain.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{ImageContent, ImageDisk, ImageList, ImageStatus, Named};
use foghorn_types::{ImageId, Role, StorageGroupId, StorageNodeId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::damage;
use super::error::Refused;
use super::image_versions::captured_from;
use super::input::{Id, Query};
use super::names::image_name;
use super::nodes::node_view;
use super::notes;
use super::paging::{self, page};
use super::replication;
use crate::agents::live::NodeLive;
use crate::api::routes::{Routes, get};
use crate::app::devices::identity::chosen;
use crate::app::tasks::scope_of;
use crate::ctx::Ctx;
use crate::state::classes::{Image, ImageAssociation, StorageGroup};
use crate::state::content::{self, ContentDisk};
use crate::state::machines::identity::IdentityOf;
use crate::state::table::is_listed;
use crate::state::{Row, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/images", list)
                .needs(Role::ReadOnly)
                .named("images", "images", "List images with what they contain")
                .query::<Asked>()
                .gives::<ImageList>(200, "In the order of their names."),
        )
        .add(
            get("/foghorn/v1/images/{id}", show)
                .needs(Role::ReadOnly)
                .named(
                    "images",
                    "image_content",
                    "Show what an image contains and where it is",
                )
                .path::<ImageId>("id", "Id of the image.")
                .gives::<ImageStatus>(200, "The image.")
                .refuses(&[404]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Where to continue: `next` of an earlier answer.
    after: Option<String>,
    /// Maximum number of images in the answer, 1 to 1000; default 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn list(
    State(ctx): State<Arc<Ctx>>,
    Query(asked): Query<Asked>,
) -> Result<Json<ImageList>, Refused> {
    let limit = paging::limit(asked.limit)?;
    let nodes = ctx.live.nodes();
    let page = ctx.state.read(|tables| {
        let rows = tables.images().named_after(asked.after.as_deref());
        page(
            rows,
            limit,
            |row| row.name.clone(),
            |row| {
                let status = is_listed::<Image>(row).then(|| view(tables, &nodes, row))??;
                Some(without_notes(status))
            },
        )
    });
    Ok(Json(ImageList {
        images: page.items,
        next: page.next,
    }))
}

/// A thousand images have up to a hundred notes each.
fn without_notes(mut status: ImageStatus) -> ImageStatus {
    if let Some(content) = &mut status.content {
        let notes = std::mem::take(&mut content.notes);
        content.more_notes += u32::try_from(notes.len()).unwrap_or(u32::MAX);
    }
    status
}

pub(super) async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(image): Id<ImageId>,
) -> Result<Json<ImageStatus>, Refused> {
    let nodes = ctx.live.nodes();
    let shown = ctx
        .state
        .read(|tables| view(tables, &nodes, tables.images().get(image.get())?));
    let mut shown = shown.ok_or_else(|| Refused::not_found("image", image))?;
    shown.replicas = replication::of_image(&ctx, image);
    Ok(Json(shown))
}

type Nodes = HashMap<StorageNodeId, NodeLive>;

fn view(tables: &Tables, live: &Nodes, row: &Row<Image>) -> Option<ImageStatus> {
    let id = row.key()?;
    let content = tables.contents().get(&id);
    let groups = tables
        .of::<ImageAssociation>()
        .by(ImageAssociation::BY_IMAGE, row.id.into())
        .filter_map(|place| {
            let group = tables.of::<StorageGroup>().get(place.storagegroup)?;
            Some(Named {
                id: StorageGroupId::new(group.id)?,
                name: group.name.clone(),
            })
        });
    // What cannot be done is refused when a task is ordered.
    let scope = scope_of(tables, row).unwrap_or_default();
    let versions = content.map_or(0, |content| 1 + content.previous.len());
    Some(ImageStatus {
        id,
        name: row.name.clone(),
        image: image_name(tables, id),
        description: row.description.clone(),
        enabled: row.is_enabled.is_yes(),
        protected: row.protected != 0,
        captures: scope.part,
        raw: scope.raw,
        all_disks: scope.several,
        identity: chosen(tables, IdentityOf::Image(id)).unwrap_or_default(),
        storage_groups: groups.collect(),
        version_count: u32::try_from(versions).unwrap_or(u32::MAX),
        created_by: row.created_by.clone(),
        created: row.created_time.0.map(|at| at.to_string()),
        content: content.map(|content| content_view(tables, live, content)),
        replicas: Vec::new(),
    })
}

fn content_view(tables: &Tables, live: &Nodes, content: &content::ImageContent) -> ImageContent {
    let nodes = content.nodes.iter();
    ImageContent {
        manifest: content.manifest,
        version: content.version,
        captured_from: content.from.as_ref().map(captured_from),
        part: content.part,
        disks: content.disks.iter().map(disk_view).collect(),
        logical_bytes: content.logical_bytes,
        used_bytes: content.used_bytes,
        stored_bytes: content.stored_bytes,
        new_bytes: content.new_bytes,
        captured: content.captured_at.to_string(),
        nodes: nodes.map(|node| node_view(tables, *node)).collect(),
        notes: notes::views(&content.notes),
        more_notes: content.notes.more(),
        damaged: damage::of_content(live, tables, content),
    }
}

pub(super) fn disk_view(disk: &ContentDisk) -> ImageDisk {
    ImageDisk {
        size: disk.size,
        sector_size: disk.sector_size,
        start: disk.start,
        minimum_size: disk.minimum,
        name: disk.name.clone(),
    }
}
