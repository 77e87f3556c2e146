//! How much room the file system of the chunks has.

use std::io;
use std::path::Path;

use foghorn_types::ByteCount;
use rustix::fs::StatVfsMountFlags;

/// A file system.
pub(crate) struct Space {
    /// Bytes that may still be written by us, without what is reserved for root.
    pub(crate) free: ByteCount,
    pub(crate) total: ByteCount,
    read_only: bool,
}

/// # Errors
/// When the system will not say.
pub(crate) fn of(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| ByteCount::from_bytes(blocks.saturating_mul(stat.f_frsize));
    Ok(Space {
        free: bytes(stat.f_bavail),
        total: bytes(stat.f_blocks),
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

impl Space {
    /// Why nothing can be stored there, and what to do.
    pub(crate) fn problem(&self, path: &Path, keep_free: ByteCount) -> Option<String> {
        let path = path.display();
        if self.read_only {
            return Some(format!(
                "the file system of {path} is read-only: see the kernel's log of the node, check its disk, and mount it writable again"
            ));
        }
        (self.free < keep_free).then(|| {
            format!(
                "the file system of {path} is full ({} of {} free, limits.keep_free_mib keeps {keep_free}): delete images and run `foghorn node sweep NODE --now`, or give the node a larger disk",
                self.free, self.total
            )
        })
    }
}
