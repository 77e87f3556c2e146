//! Everything that a capture has to know about a disk, in one call.

use foghorn_image::{ByteRange, ByteRanges, FileSystem, Note, PartitionTable};
use foghorn_types::SectorSize;

use crate::layout::{Layout, LayoutNote, Partition, ReadLayoutError, read_layout};
use crate::read_at::{ReadAt, Window};
use crate::volume::{DirtyPolicy, ReadVolumeError, Volume, read_volume};

/// What is on a disk and which of its bytes are in use.
#[derive(Debug)]
pub struct DiskContents {
    /// The table as data.
    pub table: PartitionTable,
    /// One per partition, ascending by start.
    pub file_systems: Vec<FileSystem>,
    /// Used bytes of the disk: of every volume, and the raw areas beside them.
    pub used: ByteRanges,
    /// Where of the used bytes only those matter that are not zero, see [`Layout::sparse_areas`].
    pub sparse: ByteRanges,
    /// See [`Layout::left_out`].
    pub left_out: ByteRanges,
    /// What whoever deploys the image should know.
    pub notes: Vec<Note>,
}

/// Why a disk could not be surveyed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum SurveyDiskError {
    #[error("could not read the partition table")]
    Layout(#[from] ReadLayoutError),
    #[error("could not read partition {number}", number = partition.number)]
    Volume {
        partition: Partition,
        source: ReadVolumeError,
    },
}

/// Reads the partition table and the bitmaps of every file system.
///
/// # Errors
///
/// When the table or one of the file systems cannot be read or believed, or one was not cleanly
/// unmounted and `dirty` says to refuse that.
pub fn survey_disk(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    dirty: DirtyPolicy,
) -> Result<DiskContents, SurveyDiskError> {
    let Layout {
        table,
        partitions,
        raw_areas,
        sparse_areas,
        left_out,
        raw_disk,
        notes,
    } = read_layout(disk, sector_size)?;
    let mut file_systems = Vec::with_capacity(partitions.len());
    let mut used: Vec<ByteRange> = raw_areas.iter().copied().collect();
    for partition in partitions {
        let window = Window::new(disk, partition.start.bytes(), partition.size.bytes());
        let volume = if raw_disk {
            Volume::raw(partition.size)
        } else {
            read_volume(&window, dirty)
                .map_err(|source| SurveyDiskError::Volume { partition, source })?
        };
        used.extend(
            volume
                .ranges
                .iter()
                .map(|range| range.shifted(partition.start.bytes())),
        );
        file_systems.push(FileSystem {
            partition: partition.number,
            start: partition.start,
            size: partition.size,
            kind: volume.kind,
            used: volume.used,
        });
    }
    Ok(DiskContents {
        table,
        file_systems,
        used: used.into_iter().collect(),
        sparse: sparse_areas,
        left_out,
        notes: notes.iter().flat_map(LayoutNote::to_notes).collect(),
    })
}
