//! The manifest: geometry, partition table, file systems, and the chunks in disk order.

use foghorn_types::{ByteCount, ByteOffset, ChunkId, ChunkIndex, SectorSize};

use crate::mask::UsedMask;
use crate::table::PartitionTable;

/// Bytes of disk that one chunk covers. Chunks are aligned to it, so equal data at equal alignment has equal chunks.
pub const CHUNK_SIZE: u64 = 1 << 20;

/// Size and sector size of the captured disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskGeometry {
    pub size: ByteCount,
    pub sector_size: SectorSize,
}

/// What kind of file system (or lack of one) a partition held, which decides how its used blocks were found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSystemKind {
    Ext,
    Ntfs,
    Fat,
    /// Not understood: every block that is not zero was taken.
    Raw,
}

/// One partition (or the whole disk when there is no table) as it was captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSystem {
    /// Number of the partition as Linux counts it, from 1; 0 for a disk without a table.
    pub partition: u32,
    pub start: ByteOffset,
    pub size: ByteCount,
    pub kind: FileSystemKind,
    /// Bytes in use by the file system's own account; equals `size` for `Raw`.
    pub used: ByteCount,
}

/// What the used bytes of a chunk are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkContent {
    /// In use, and all zero: nothing is stored or sent, but a deploy must make those bytes read as zero.
    Zero,
    /// BLAKE3 of the chunk's plain bytes: the full extent of the chunk (1 MiB, less only at the end of the disk) with
    /// every byte outside the used mask replaced by zero.
    Data(ChunkId),
}

/// One chunk of the disk that has used bytes. Chunks without any are not listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkEntry {
    pub index: ChunkIndex,
    pub used: UsedMask,
    pub content: ChunkContent,
}

/// One captured state of one disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    pub geometry: DiskGeometry,
    pub table: PartitionTable,
    /// Ascending by start, none overlapping.
    pub file_systems: Vec<FileSystem>,
    /// Strictly ascending by index.
    pub chunks: Vec<ChunkEntry>,
}
