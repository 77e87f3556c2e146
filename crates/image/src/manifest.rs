//! The manifest: geometry, partition table, file systems, and the chunks in disk order.

use std::collections::HashSet;

use foghorn_types::{ByteCount, ByteOffset, ChunkId, ChunkIndex, DiskPart};

use crate::chunk_list::ChunkList;
use crate::disks::ImageDisk;
use crate::geometry::DiskGeometry;
use crate::mask::UsedMask;
use crate::note::{Note, NoteKind};
use crate::root::Head;
use crate::table::PartitionTable;

/// What kind of file system (or lack of one) a partition held, which decides how its used blocks
/// were found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSystemKind {
    /// ext2, ext3, ext4.
    Ext,
    /// NTFS.
    Ntfs,
    /// FAT12, FAT16, FAT32.
    Fat,
    /// Not understood: every block that is not zero was taken.
    Raw,
}

/// One partition (or the whole disk when there is no table) as it was captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSystem {
    /// Number of the partition as Linux counts it on its disk, from 1; 0 for a disk without a table.
    pub partition: u32,
    /// First byte on the disk; of several disks, in their common space.
    pub start: ByteOffset,
    /// Bytes of the partition.
    pub size: ByteCount,
    /// How its used blocks were found.
    pub kind: FileSystemKind,
    /// Bytes in use by the file system's own account; equals `size` for `Raw`.
    pub used: ByteCount,
}

/// What the used bytes of a chunk are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkContent {
    /// In use, and all zero: nothing is stored or sent, but a deploy must make those bytes read as
    /// zero.
    Zero,
    /// BLAKE3 of the chunk's plain bytes: the full extent of the chunk (1 MiB, less only at the end
    /// of the disk) with every byte outside the used mask replaced by zero.
    Data(ChunkId),
}

/// One chunk of the disk that has used bytes. Chunks without any are not listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkEntry {
    /// Its place on the disk.
    pub index: ChunkIndex,
    /// Which of its bytes are in use.
    pub used: UsedMask,
    /// What the used bytes are.
    pub content: ChunkContent,
}

/// One captured state of a disk, or of several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Size of the disk and of its sectors. Of several disks: of their common space, and of the
    /// sectors of the first.
    pub geometry: DiskGeometry,
    /// The partition table as data. Of several disks: none, as each has its own.
    pub table: PartitionTable,
    /// Ascending by start, none overlapping.
    pub file_systems: Vec<FileSystem>,
    /// Strictly ascending by index.
    pub chunks: ChunkList,
    /// What whoever deploys it should know, at most [`MAX_NOTES`](crate::MAX_NOTES).
    pub notes: Vec<Note>,
    /// The disks, when they are two or more; at most [`MAX_DISKS`](crate::MAX_DISKS).
    pub disks: Vec<ImageDisk>,
}

/// A manifest in figures. What is stored depends on compression, which the manifest does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ManifestSummary {
    /// Size of the captured disk, or of the common space of several.
    pub logical_size: ByteCount,
    /// Bytes in use, zero or not, in units of 512.
    pub used: ByteCount,
    /// Entries with data, counting equal chunks each time.
    pub data_chunks: u64,
    /// Different chunks among them: what has to be sent and stored.
    pub unique_chunks: u64,
    /// Entries in use that hold only zeros.
    pub zero_chunks: u64,
    /// Plain bytes that a store of this image alone would hold: the extents of the unique chunks.
    pub unique_bytes: ByteCount,
}

impl Manifest {
    pub(crate) fn head(&self) -> Head<'_> {
        Head {
            geometry: self.geometry,
            table: &self.table,
            file_systems: &self.file_systems,
            notes: &self.notes,
            disks: &self.disks,
        }
    }

    /// Counts what is in the manifest. Walks all entries.
    #[must_use]
    pub fn summary(&self) -> ManifestSummary {
        let mut summary = ManifestSummary {
            logical_size: self.geometry.size,
            used: ByteCount::ZERO,
            data_chunks: 0,
            unique_chunks: 0,
            zero_chunks: 0,
            unique_bytes: ByteCount::ZERO,
        };
        let mut seen = HashSet::new();
        for chunk in &self.chunks {
            let len = self.geometry.chunk_len(chunk.index);
            summary.used += ByteCount::from_bytes(chunk.used.used_bytes(len));
            match chunk.content {
                ChunkContent::Zero => summary.zero_chunks += 1,
                ChunkContent::Data(id) => {
                    summary.data_chunks += 1;
                    if seen.insert(id) {
                        summary.unique_chunks += 1;
                        summary.unique_bytes += ByteCount::from_bytes(len as u64);
                    }
                }
            }
        }
        summary
    }

    /// What of the disk was captured: its note of the kind
    /// [`NoteKind::PartOfDisk`] says so, and names the partition.
    #[must_use]
    pub fn part(&self) -> DiskPart {
        let mut notes = self.notes.iter();
        match notes.find(|note| note.kind == NoteKind::PartOfDisk) {
            None => DiskPart::Everything,
            Some(note) => DiskPart::partition(note.partition).unwrap_or(DiskPart::Table),
        }
    }

    /// The note that says that a partition, or for 0 the disk, has to keep its size.
    #[must_use]
    pub fn size_tie(&self, partition: u32) -> Option<&Note> {
        let mut notes = self.notes.iter();
        notes.find(|note| match note.kind {
            NoteKind::SizeTied => partition == 0,
            NoteKind::PartitionSizeTied => note.partition == partition,
            _ => false,
        })
    }

    /// The smallest disk, in whole sectors, that can hold this image: up to the last byte that a
    /// partition or a used sector needs, and for GPT room for the backup table behind it. Of several
    /// disks, all together.
    #[must_use]
    pub fn minimum_disk(&self) -> ByteCount {
        if !self.disks.is_empty() {
            let disks = 0..self.disks.len();
            return disks.map(|nth| self.of_disk(nth).minimum_disk()).sum();
        }
        let sector = self.geometry.sector_size.bytes();
        let volumes = self
            .file_systems
            .iter()
            .map(|fs| fs.start.bytes().saturating_add(fs.size.bytes()));
        let chunks = self.chunks.last().and_then(|chunk| {
            let last = chunk
                .used
                .byte_ranges(self.geometry.chunk_len(chunk.index))
                .last()?;
            Some(DiskGeometry::chunk_offset(chunk.index).bytes() + last.end as u64)
        });
        let mut end = volumes.chain(chunks).max().unwrap_or(0);
        if let PartitionTable::Gpt(table) = &self.table {
            let entries = table
                .entries
                .iter()
                .map(|entry| entry.last_lba.saturating_add(1).saturating_mul(sector));
            let last = entries
                .chain([end, table.first_usable_lba.saturating_mul(sector)])
                .max()
                .unwrap_or(0);
            end = last.saturating_add(table.backup_size(self.geometry.sector_size).bytes());
        }
        ByteCount::from_bytes(end.div_ceil(sector).saturating_mul(sector))
    }
}
