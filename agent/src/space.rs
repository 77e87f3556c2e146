//! Why nothing can be stored on the file system of the chunks.

use std::path::Path;

use foghorn_chunk_store::Space;
use foghorn_types::ByteCount;

/// The reason, and what to do; `None` while something can be stored.
pub(crate) fn problem(space: &Space, path: &Path, keep_free: ByteCount) -> Option<String> {
    let path = path.display();
    if space.read_only {
        return Some(format!(
            "the file system of {path} is read-only: see the kernel's log of the node, check its disk, and mount it writable again"
        ));
    }
    (space.free < keep_free).then(|| {
        format!(
            "the file system of {path} is full ({} of {} free, limits.keep_free_mib keeps {keep_free}): delete images and run `foghorn node sweep NODE --now`, or give the node a larger disk",
            space.free, space.total
        )
    })
}
