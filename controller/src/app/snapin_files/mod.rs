//! Snapin files: upload, download, and replication to every node of the snapin's storage groups.
//!
//! The data is on the nodes, in their chunk stores; the controller only forwards it. During an
//! upload it has a file without a name on its own disk, so nothing is left however the upload ends.

mod answer;
mod replicate;

use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::{SnapinId, StorageNodeId, Timestamp, chain};
use futures_util::{Stream, StreamExt};
use tracing::{info, warn};

pub(crate) use self::answer::answer;
pub use self::replicate::{missing, run};
use crate::agents::files::{FileError, Parts};
use crate::ctx::Ctx;
use crate::state::classes::Snapin;
use crate::state::classes::StorageNode;
use crate::state::removal::{Removal, Stored};
use crate::state::rules::snapin;
use crate::state::snapin_file::SnapinFile;
use crate::state::{Refusal, Tables};
use crate::uploads::{SpoolError, Spooled};

/// Why an upload failed. The snapin keeps its previous file.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("snapin {0} does not exist")]
    NoSuchSnapin(SnapinId),
    #[error("name: {0}")]
    BadName(&'static str),
    #[error("no storage node of the snapin's storage groups is connected")]
    NoNode,
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("no storage node accepted the file")]
    NotStored(#[source] FileError),
    #[error("the file is stored, but could not update the snapin")]
    State(#[from] Refusal),
}

/// Why a download could not start.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("snapin {0} does not exist")]
    NoSuchSnapin(SnapinId),
    #[error("snapin {0} has no file")]
    NoFile(SnapinId),
    #[error("no storage node that holds the file is connected")]
    NoNode,
    #[error("could not get the file from any storage node")]
    NotGiven(#[source] FileError),
}

/// Checks a name, which is shown to users and used by hosts as a file name.
const LONGEST_NAME: usize = 255;

fn check_name(name: &str) -> Result<(), UploadError> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(UploadError::BadName("must have 1 to 255 bytes"));
    }
    if name == "."
        || name == ".."
        || name.contains(['/', '\\'])
        || name.chars().any(char::is_control)
    {
        return Err(UploadError::BadName(
            "must be a file name without a directory",
        ));
    }
    Ok(())
}

/// Nodes that must hold the file of a snapin: those of its storage groups, with the master of each
/// group first.
fn nodes_of(tables: &Tables, snapin: SnapinId) -> Vec<StorageNodeId> {
    let mut found = Vec::new();
    for group in snapin::storage_groups(tables, snapin.get()) {
        let nodes = tables
            .storage_nodes()
            .by(StorageNode::BY_GROUP, group.into());
        let mut nodes: Vec<_> = nodes.filter(|node| node.is_enabled.is_yes()).collect();
        nodes.sort_by_key(|node| !node.is_master.is_yes());
        found.extend(nodes.into_iter().filter_map(|node| node.key()));
    }
    found
}

/// Stores an uploaded file: the snapin gets its name, hash and size when one node has verified and
/// flushed all of it. The other nodes follow.
///
/// # Errors
/// See [`UploadError`].
pub async fn upload<S, E>(
    ctx: &Ctx,
    id: SnapinId,
    name: &str,
    body: S,
) -> Result<Arc<SnapinFile>, UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    check_name(name)?;
    let candidates = ctx.state.read(|tables| {
        tables
            .of::<Snapin>()
            .get(id.get())
            .ok_or(UploadError::NoSuchSnapin(id))?;
        Ok::<_, UploadError>(nodes_of(tables, id))
    })?;
    let online = ctx.links.online();
    let candidates: Vec<_> = candidates
        .into_iter()
        .filter(|node| online.contains(node))
        .collect();
    if candidates.is_empty() {
        return Err(UploadError::NoNode);
    }
    let spooled = ctx.uploads.take_in(body).await?;
    let mut failed = None;
    for node in candidates {
        let stored = ctx
            .files
            .store(
                &ctx.links,
                node,
                spooled.file,
                spooled.size,
                spooled.parts(),
            )
            .await;
        match stored {
            Ok(()) => {
                foghorn_faults::wait!("controller.snapin.before-record");
                return record(ctx, id, name, &spooled, node).await;
            }
            Err(error) => {
                warn!(
                    snapin = %id,
                    %node,
                    error = %chain(&error),
                    "a storage node did not accept a file"
                );
                failed = Some(error);
            }
        }
    }
    Err(failed.map_or(UploadError::NoNode, UploadError::NotStored))
}

async fn record(
    ctx: &Ctx,
    id: SnapinId,
    name: &str,
    spooled: &Spooled<'_>,
    node: StorageNodeId,
) -> Result<Arc<SnapinFile>, UploadError> {
    let file = SnapinFile {
        snapin: id,
        file: spooled.file,
        sha512: spooled.sha512.clone(),
        size: spooled.size,
        uploaded_at: Timestamp::now(),
        nodes: vec![node],
        modified: 0,
    };
    let size = i64::try_from(file.size.bytes()).unwrap_or(i64::MAX);
    ctx.state
        .write(|draft| {
            let id = id.get();
            let row = draft
                .tables()
                .of::<Snapin>()
                .get(id)
                .ok_or(Refusal::NotFound {
                    class: "snapin",
                    id,
                })?;
            let tables = draft.tables();
            let before = tables
                .snapin_files()
                .get(&file.snapin)
                .filter(|before| before.file != file.file);
            if let Some(before) = before {
                draft.store(&Removal::new(Stored::File(before.file)));
            }
            draft.forget::<Removal>(&Stored::File(file.file));
            draft.store(&file);
            draft.update(
                row,
                &Snapin {
                    file: name.to_owned(),
                    hash: file.sha512.clone(),
                    size,
                    ..Snapin::clone(row)
                },
            )
        })
        .await?;
    if foghorn_faults::lost!("controller.snapin.recorded") {
        return Err(Refusal::Lagging.into());
    }
    info!(snapin = %id, name, size = %file.size, %node, "snapin file uploaded");
    Ok(Arc::new(file))
}

/// Opens the file of a snapin on a node that holds it. The parts are checked against hash and size
/// as they pass: a stream that ends without an error is complete.
///
/// # Errors
/// See [`DownloadError`].
pub async fn download(
    ctx: &Ctx,
    id: SnapinId,
) -> Result<(Arc<SnapinFile>, String, Parts), DownloadError> {
    let (record, name) = ctx.state.read(|tables| {
        let row = tables
            .of::<Snapin>()
            .get(id.get())
            .ok_or(DownloadError::NoSuchSnapin(id))?;
        let record = tables
            .snapin_files()
            .get(&id)
            .cloned()
            .ok_or(DownloadError::NoFile(id))?;
        Ok::<_, DownloadError>((record, row.file.clone()))
    })?;
    let parts = open(ctx, &record).await?;
    Ok((record, name, parts))
}

/// The file from the first holder that can send it.
async fn open(ctx: &Ctx, record: &SnapinFile) -> Result<Parts, DownloadError> {
    let online = ctx.links.online();
    let mut failed = None;
    for node in record.nodes.iter().filter(|node| online.contains(node)) {
        match ctx.files.fetch(&ctx.links, *node, record.file).await {
            Ok(parts) => return Ok(checked(parts, record)),
            Err(error) => {
                warn!(
                    snapin = %record.snapin,
                    %node,
                    error = %chain(&error),
                    "could not get a file from a storage node"
                );
                failed = Some(error);
            }
        }
    }
    Err(failed.map_or(DownloadError::NoNode, DownloadError::NotGiven))
}

/// Adds an error to the end of a stream whose content is not what the record says.
fn checked(parts: Parts, record: &SnapinFile) -> Parts {
    let expected = (record.file, record.size.bytes());
    let state = Some((parts, blake3::Hasher::new(), 0_u64));
    futures_util::stream::unfold(state, move |state| async move {
        let (mut parts, mut hasher, len) = state?;
        match parts.next().await {
            Some(Ok(bytes)) => {
                hasher.update(&bytes);
                let len = len + bytes.len() as u64;
                Some((Ok(bytes), Some((parts, hasher, len))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if (
                foghorn_types::FileId::from_digest(*hasher.finalize().as_bytes()),
                len,
            ) == expected =>
            {
                None
            }
            None => Some((
                Err(FileError::Source(
                    "the content differs from the uploaded file".to_owned(),
                )),
                None,
            )),
        }
    })
    .boxed()
}
