//! What nodes hold and the store does not know, and what nodes hold although its deletion was
//! ordered.
//!
//! Content without an image is not rubbish: after an older backup of the store was restored, it is
//! every image that was captured since. So it is listed, and whoever runs the fleet decides: it is
//! adopted into an image, or dropped. Only what somebody ordered to be deleted is ever deleted.

use std::sync::Arc;

use foghorn_lifecycle::TaskState;
use foghorn_proto::link::controller_message::Message;
use foghorn_proto::link::{AdoptImage, DropImage, Job, job};
use foghorn_types::{DiskPart, ImageId, ManifestId, StorageNodeId, Timestamp, chain};
use tracing::{info, warn};

use super::versions;
use crate::agents::jobs::JobWork;
use crate::agents::links::SendError;
use crate::ctx::Ctx;
use crate::state::classes::{Image, ImagePartitionType, ImageType};
use crate::state::content::ImageContent;
use crate::state::removal::{Removal, Stored};
use crate::state::run::{Run, RunKind};
use crate::state::{Refusal, Tables, rehearsal};

/// Something on a node that the store does not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Orphan {
    pub node: StorageNodeId,
    pub what: Stored,
}

/// Why content was not adopted. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error(
        "storage node {node} holds no content with manifest {manifest} under image {image} that is unknown here: see `foghorn image orphans`"
    )]
    NotThere {
        node: StorageNodeId,
        image: ImageId,
        manifest: ManifestId,
    },
    #[error("image {0} does not exist: give a name for a new one")]
    NoImage(ImageId),
    #[error("image {0} has other content: give a name for a new image")]
    HasContent(ImageId),
    #[error("could not send the order to storage node {node}")]
    NotSent {
        node: StorageNodeId,
        source: SendError,
    },
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Why something was not dropped.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    #[error(
        "storage node {0} reports nothing like that which is unknown here: see `foghorn image orphans`"
    )]
    NotThere(StorageNodeId),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Everything unknown that nodes have reported since the controller started, ascending.
#[must_use]
pub fn list(ctx: &Ctx) -> Vec<Orphan> {
    let nodes = ctx.live.nodes();
    let mut found: Vec<Orphan> = ctx.state.read(|tables| {
        let held = nodes.iter().flat_map(|(node, live)| {
            let images = live
                .manifests
                .iter()
                .map(|(image, manifest)| Stored::Image(*image, *manifest));
            let files = live.files.iter().map(|file| Stored::File(*file));
            images.chain(files).map(|what| Orphan { node: *node, what })
        });
        held.filter(|orphan| is_unknown(tables, &orphan.what))
            .collect()
    });
    found.sort_unstable();
    found
}

/// Whether nothing in the store accounts for it: no image or snapin has it, no task is about to
/// create or use it, and nobody has ordered its removal.
#[must_use]
pub fn is_unknown(tables: &Tables, what: &Stored) -> bool {
    let named = match what {
        Stored::Image(image, manifest) => {
            is_content(tables, *image, *manifest) || is_in_work(tables, *image, *manifest)
        }
        Stored::File(file) => tables
            .snapin_files()
            .iter()
            .any(|record| record.file == *file),
    };
    !named && tables.removals().get(what).is_none()
}

fn is_content(tables: &Tables, image: ImageId, manifest: ManifestId) -> bool {
    let content = tables.contents().get(&image);
    content.is_some_and(|content| content.with_manifest(manifest).is_some())
}

/// A deploy continues with the content with which it began, and what a capture stores is recorded
/// only when it has ended.
fn is_in_work(tables: &Tables, image: ImageId, manifest: ManifestId) -> bool {
    let is_captured =
        |run: &Arc<Run>| run.image == image && run.kind == RunKind::Capture && has_begun(run);
    versions::is_in_use(tables, image, manifest) || tables.runs().active().any(is_captured)
}

fn has_begun(run: &Run) -> bool {
    use TaskState::{CheckedIn, Running};
    matches!(run.life.state(), CheckedIn { .. } | Running { .. })
}

/// Orders a node to check the content and to make it that of an image: of the image with its
/// number, or of a new one if there is a name; there it no longer has the number that it had. Returns
/// the job's number; what it reports is recorded when it is done.
///
/// # Errors
/// See [`AdoptError`].
pub async fn adopt(
    ctx: &Ctx,
    node: StorageNodeId,
    (from, manifest): (ImageId, ManifestId),
    name: Option<&str>,
    by: &str,
) -> Result<u64, AdoptError> {
    let holds = ctx
        .live
        .node(node)
        .is_some_and(|live| live.manifests.contains(&(from, manifest)));
    let what = Stored::Image(from, manifest);
    if !holds || !ctx.state.read(|tables| is_unknown(tables, &what)) {
        return Err(AdoptError::NotThere {
            node,
            image: from,
            manifest,
        });
    }
    if !ctx.links.online().contains(&node) {
        // Before there is an image without content.
        let source = SendError::Offline;
        return Err(AdoptError::NotSent { node, source });
    }
    let to = match name {
        Some(name) => new_image(ctx, name, by).await?,
        None => {
            ctx.state.read(|tables| fits_into(tables, from, manifest))?;
            from
        }
    };
    if rehearsal::is_on() {
        return Err(Refusal::Rehearsed.into());
    }
    let job = ctx
        .jobs
        .create(node, JobWork::Adopt { from, to }, Timestamp::now());
    let order = AdoptImage {
        manifest_id: manifest.as_bytes().to_vec(),
        to_image_id: to.get(),
        from_image_id: from.get(),
    };
    let sent = send(ctx, node, job, job::Work::Adopt(order));
    sent.map_err(|source| AdoptError::NotSent { node, source })?;
    info!(%node, image = %from, adopted_as = %to, "ordered a node to adopt content");
    Ok(job)
}

fn fits_into(tables: &Tables, image: ImageId, manifest: ManifestId) -> Result<(), AdoptError> {
    if tables.of::<Image>().get(image.get()).is_none() {
        return Err(AdoptError::NoImage(image));
    }
    match tables.contents().get(&image) {
        Some(content) if content.manifest != manifest => Err(AdoptError::HasContent(image)),
        _ => Ok(()),
    }
}

/// Rows that exist from the start.
const SINGLE_DISK: u32 = 2;
const EVERYTHING: u32 = 1;
const OTHER_OS: u32 = 50;

async fn new_image(ctx: &Ctx, name: &str, by: &str) -> Result<ImageId, Refusal> {
    // What must be there; the rest follows from the content.
    let body = serde_json::json!({
        "name": name, "path": name, "imageTypeID": SINGLE_DISK, "imagePartitionTypeID": EVERYTHING,
        "osID": OTHER_OS, "isEnabled": "1",
    });
    let body = body.as_object().cloned().unwrap_or_default();
    let id = super::objects::create::<Image>(&ctx.state, &body, by, None).await?;
    ImageId::new(id).ok_or(Refusal::NotFound { class: "image", id })
}

/// Records that a node has checked the content and made it that of an image, which has it from the
/// number `from`.
///
/// # Errors
/// When the image is gone or has other content by now, or the change cannot be stored.
pub(crate) async fn adopted(
    ctx: &Ctx,
    from: ImageId,
    content: &ImageContent,
) -> Result<(), AdoptError> {
    ctx.state
        .write(|draft| {
            fits_into(draft.tables(), content.image, content.manifest)?;
            let fit = |image: Image, tables: &Tables| {
                if from == content.image {
                    image
                } else {
                    fitted(image, content, tables)
                }
            };
            let keep = ctx.settings.versions;
            versions::store(draft, content.clone(), keep, fit).map_err(AdoptError::from)
        })
        .await
}

/// The row of a new image with the type and the choice of partitions that its content has, so that
/// it can be deployed as it is.
fn fitted(image: Image, content: &ImageContent, tables: &Tables) -> Image {
    let part = match content.part {
        DiskPart::Everything => "all".to_owned(),
        DiskPart::Table => "mbr".to_owned(),
        DiskPart::Partition(number) => number.to_string(),
    };
    let mut parts = tables.of::<ImagePartitionType>().iter();
    let choice = parts.find(|row| row.kind == part).map(|row| row.id);
    let mut types = tables.of::<ImageType>().iter();
    let several = types.find(|row| row.kind == "mpa").map(|row| row.id);
    Image {
        image_type: several
            .filter(|_| !content.disks.is_empty())
            .unwrap_or(image.image_type),
        image_partition_type: choice.unwrap_or(image.image_partition_type),
        ..image
    }
}

/// Orders that something unknown on a node is deleted, on every node that has it.
///
/// # Errors
/// See [`DropError`].
pub async fn drop(ctx: &Ctx, orphan: Orphan) -> Result<(), DropError> {
    let holds = ctx
        .live
        .node(orphan.node)
        .is_some_and(|live| match orphan.what {
            Stored::Image(image, manifest) => live.manifests.contains(&(image, manifest)),
            Stored::File(file) => live.files.contains(&file),
        });
    if !holds {
        return Err(DropError::NotThere(orphan.node));
    }
    ctx.state
        .write(|draft| {
            if !is_unknown(draft.tables(), &orphan.what) {
                return Err(DropError::NotThere(orphan.node));
            }
            if let Stored::Image(image, _) = orphan.what {
                draft.require(versions::unchanged(draft.tables(), image));
            }
            draft.store(&Removal::new(orphan.what));
            Ok(())
        })
        .await?;
    info!(node = %orphan.node, what = ?orphan.what, "ordered the removal of unknown content");
    order_removals(ctx, Timestamp::now(), |_| true);
    Ok(())
}

/// Orders connected nodes to delete the images whose removal was ordered, and which no task uses.
/// Returns the orders that were sent, with their jobs. They are repeated until the nodes no longer
/// report them.
pub(crate) fn order_removals(
    ctx: &Ctx,
    now: Timestamp,
    mut may_order: impl FnMut(&Removable) -> bool,
) -> Vec<(Removable, u64)> {
    let mut sent = Vec::new();
    for removable in removable(ctx) {
        if !may_order(&removable) {
            continue;
        }
        let (node, image, manifest) = removable;
        foghorn_faults::point!("controller.removal.before-order");
        let job = ctx.jobs.create(node, JobWork::Drop { image }, now);
        let order = DropImage {
            image_id: image.get(),
            manifest_id: manifest.as_bytes().to_vec(),
        };
        match send(ctx, node, job, job::Work::Drop(order)) {
            Ok(()) => {
                info!(%node, %image, %manifest, "ordered a node to delete an image");
                sent.push((removable, job));
            }
            Err(error) => {
                warn!(%node, %image, error = %chain(&error), "could not order a node to delete an image");
            }
        }
    }
    sent
}

/// Content that a node holds and is to delete.
pub(crate) type Removable = (StorageNodeId, ImageId, ManifestId);

fn removable(ctx: &Ctx) -> Vec<Removable> {
    if ctx.state.read(|tables| tables.removals().is_empty()) {
        return Vec::new();
    }
    let nodes = ctx.live.nodes();
    ctx.state.read(|tables| {
        let mut found: Vec<_> = nodes
            .iter()
            .filter(|(_, live)| live.online)
            .flat_map(|(node, live)| live.manifests.iter().map(|held| (*node, held.0, held.1)))
            .filter(|(_, image, manifest)| {
                let ordered = Stored::Image(*image, *manifest);
                tables.removals().get(&ordered).is_some()
                    && !is_content(tables, *image, *manifest)
                    && !is_in_work(tables, *image, *manifest)
            })
            .collect();
        found.sort_unstable();
        found
    })
}

fn send(ctx: &Ctx, node: StorageNodeId, job: u64, work: job::Work) -> Result<(), SendError> {
    let order = Job {
        job_id: job,
        work: Some(work),
    };
    ctx.links
        .send(node, Message::Job(order))
        .inspect_err(|_| ctx.jobs.forget(job))
}
