//! How a disk is divided.

mod error;
mod gaps;
mod gpt;
mod hybrid;
mod mbr;
mod note;
mod owner;
mod sectors;
mod tail;

use foghorn_image::{ByteRange, ByteRanges, PartitionTable};
use foghorn_types::{ByteCount, ByteOffset, SectorSize, chain};

pub use error::{ReadGptCopyError, ReadLayoutError};
pub use gaps::MAX_RAW_GAP;
pub(crate) use gpt::entry_bytes;
pub(crate) use mbr::end_chs;
pub use note::LayoutNote;
pub use sectors::{SectorSizeEvidence, sector_size_of};

use crate::read_at::ReadAt;

/// What the table says about the contents of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeclaredType {
    /// There is no table.
    Unknown,
    /// Type GUID of a GPT entry, as its bytes lie on the disk.
    Gpt([u8; 16]),
    /// Type byte of an MBR entry.
    Mbr(u8),
}

/// One partition, or the whole disk where there is no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// As Linux counts: from 1; logical partitions of an MBR from 5. 0: the whole disk.
    pub number: u32,
    /// First byte on the disk.
    pub start: ByteOffset,
    /// Bytes that it covers.
    pub size: ByteCount,
    /// What the table says that it holds.
    pub declared: DeclaredType,
}

impl Partition {
    /// The bytes of the disk that the partition covers.
    #[must_use]
    pub const fn range(&self) -> ByteRange {
        ByteRange::new(self.start.bytes(), self.start.bytes() + self.size.bytes())
    }
}

/// How a disk is divided, and what outside its partitions belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The table as data.
    pub table: PartitionTable,
    /// Ascending by start, none overlapping, all inside the disk.
    pub partitions: Vec<Partition>,
    /// Bytes outside the partitions that a capture takes as they are: boot sector and extended
    /// boot records of an MBR, and gaps, where boot loaders live. Never the copies of a GPT,
    /// which are restored by [`render_gpt`](crate::render_gpt).
    pub raw_areas: ByteRanges,
    /// Of the raw areas, those of which only what is not zero matters: gaps above
    /// [`MAX_RAW_GAP`], and what structures behind the last partition may be in.
    pub sparse_areas: ByteRanges,
    /// Of the raw areas, gaps between partitions without the records of an MBR that are in them:
    /// nothing is known that needs their bytes, so a capture goes on where they cannot be read.
    pub idle_areas: ByteRanges,
    /// Bytes outside the partitions that a capture leaves out: what follows the last partition,
    /// which would tie the image to disks of at least this size. A note says what of it is data.
    pub left_out: ByteRanges,
    /// Whether the whole disk has to be taken raw, whatever its start looks like.
    pub raw_disk: bool,
    /// What is unusual and does not prevent a capture.
    pub notes: Vec<LayoutNote>,
}

/// Reads the partition table.
///
/// A GPT counts when the MBR in front of it is protective; its primary copy is used, else its
/// backup at the end of the disk. Otherwise an MBR with partitions counts. Without either the whole
/// disk is one volume, and so is a disk that a RAID, a pool or a file system has taken as a whole
/// since the table was written. A disk that is several things at once (a hybrid MBR, an ISO file
/// system that is also divided) is one raw volume, because no table describes it.
///
/// # Errors
///
/// When the disk cannot be read, or says something about its partitions that cannot be true. A
/// protective MBR without a readable GPT is an error and never "no table".
pub fn read_layout(disk: &dyn ReadAt, sector_size: SectorSize) -> Result<Layout, ReadLayoutError> {
    owner::overrule(disk, read_table(disk, sector_size))
}

fn read_table(disk: &dyn ReadAt, sector_size: SectorSize) -> Result<Layout, ReadLayoutError> {
    let sectors = disk.size() / sector_size.bytes();
    if sectors < 2 {
        return Err(ReadLayoutError::TooSmall { size: disk.size() });
    }
    let boot_sector = read_sector(disk, sector_size, 0)?;
    let boot_sector: &[u8; 512] = boot_sector
        .first_chunk()
        .expect("sectors have 512 bytes or more");
    let header = mbr::parse_boot_sector(boot_sector);
    if let Some(header) = &header
        && let Some(layout) = hybrid::read(disk, sector_size, header)
    {
        return Ok(layout);
    }
    if let Some(header) = &header
        && mbr::is_protective(header)
    {
        return gpt::read(disk, sector_size, boot_sector, header);
    }
    let stale = gpt::signature_at(disk, sector_size, 1)?;
    match header {
        Some(header) if mbr::divides_the_disk(&header, boot_sector) => {
            let mut layout = mbr::read(disk, sector_size, &header)?;
            layout.notes.extend(stale.then_some(LayoutNote::StaleGpt));
            Ok(layout)
        }
        _ if stale && gpt::is_intact(disk, sector_size) => {
            Err(ReadLayoutError::GptWithoutProtectiveMbr)
        }
        _ => Ok(undivided(disk)),
    }
}

/// The layout of a disk that is one volume.
fn undivided(disk: &dyn ReadAt) -> Layout {
    Layout {
        table: PartitionTable::None,
        partitions: vec![Partition {
            number: 0,
            start: ByteOffset::default(),
            size: ByteCount::from_bytes(disk.size()),
            declared: DeclaredType::Unknown,
        }],
        raw_areas: ByteRanges::new(),
        sparse_areas: ByteRanges::new(),
        idle_areas: ByteRanges::new(),
        left_out: ByteRanges::new(),
        raw_disk: false,
        notes: Vec::new(),
    }
}

impl Layout {
    /// The layout of a disk whose table cannot be read: everything counts, and where partitions
    /// would be is unknown.
    pub(crate) fn unreadable(disk: &dyn ReadAt, error: &ReadLayoutError) -> Self {
        Self {
            raw_disk: true,
            notes: vec![LayoutNote::UnreadableTable(error.to_string())],
            ..undivided(disk)
        }
    }

    /// One raw volume, for a disk whose table cannot be used.
    pub(crate) fn in_spite_of(disk: &dyn ReadAt, why: &ReadLayoutError) -> Self {
        Self {
            raw_disk: true,
            notes: vec![LayoutNote::Unusable(chain(why).to_string())],
            ..undivided(disk)
        }
    }
}

fn read_sector(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    lba: u64,
) -> Result<Vec<u8>, ReadLayoutError> {
    let mut sector = vec![0; sector_size.bytes() as usize];
    let offset = lba.saturating_mul(sector_size.bytes());
    disk.read_exact_at(offset, &mut sector)
        .map_err(|source| ReadLayoutError::Read { offset, source })?;
    Ok(sector)
}

/// Sorts partitions by place and refuses those that share bytes or leave `usable`.
fn check_partitions(
    mut partitions: Vec<Partition>,
    usable: ByteRange,
) -> Result<Vec<Partition>, ReadLayoutError> {
    partitions.sort_unstable_by_key(|partition| partition.start);
    for partition in &partitions {
        let range = partition.range();
        if range.is_empty() || range.start < usable.start || range.end > usable.end {
            return Err(ReadLayoutError::PartitionOutside {
                number: partition.number,
                range,
                usable,
            });
        }
    }
    match partitions
        .windows(2)
        .find(|pair| pair[1].range().start < pair[0].range().end)
    {
        Some(pair) => Err(ReadLayoutError::PartitionsOverlap {
            first: pair[0].number,
            second: pair[1].number,
        }),
        None => Ok(partitions),
    }
}
