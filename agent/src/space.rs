//! How much room the file system of the chunks has.

use std::io;
use std::path::Path;

use foghorn_types::ByteCount;

/// Bytes that may still be written by us, without what is reserved for root.
///
/// # Errors
/// When the system will not say.
pub(crate) fn free(path: &Path) -> io::Result<ByteCount> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(ByteCount::from_bytes(
        stat.f_bavail.saturating_mul(stat.f_frsize),
    ))
}

/// Size of the file system.
///
/// # Errors
/// When the system will not say.
pub(crate) fn total(path: &Path) -> io::Result<ByteCount> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(ByteCount::from_bytes(
        stat.f_blocks.saturating_mul(stat.f_frsize),
    ))
}
