//! How much room the file system of the chunks has. Everything that is shown or decided about it is
//! counted here, so that people see what the store goes by.

use std::io;
use std::path::Path;

use foghorn_types::ByteCount;
use rustix::fs::{StatVfs, StatVfsMountFlags};

/// The room of a file system, without what it reserves for root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes that may still be written.
    pub free: ByteCount,
    /// Bytes that are written, and those that may be.
    pub total: ByteCount,
    /// Whether nothing can be written because of how it is mounted.
    pub read_only: bool,
}

impl Space {
    /// # Errors
    /// When the system will not say.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&rustix::fs::statvfs(path)?))
    }
}

impl From<&StatVfs> for Space {
    fn from(stat: &StatVfs) -> Self {
        let bytes = |blocks: u64| ByteCount::from_bytes(blocks.saturating_mul(stat.f_frsize));
        let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
        Self {
            free: bytes(stat.f_bavail),
            total: bytes(stat.f_blocks.saturating_sub(reserved)),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_for_root_is_neither_free_nor_part_of_the_whole() {
        let mut stat = rustix::fs::statvfs("/").unwrap();
        (stat.f_frsize, stat.f_blocks) = (4096, 1000);
        (stat.f_bfree, stat.f_bavail) = (100, 50);
        let space = Space::from(&stat);
        assert_eq!(space.free, ByteCount::from_bytes(50 * 4096));
        assert_eq!(space.total, ByteCount::from_bytes(950 * 4096));
    }
}
