//! The sector size of a disk in a file, which has none of its own: what is on it tells.

use foghorn_types::SectorSize;
use mbrman::MBRHeader;

use super::gpt::{backup_is_intact, is_intact, other_sectors};
use super::mbr;
use crate::read_at::ReadAt;

/// Both sizes that disks have.
const SIZES: [SectorSize; 2] = [SectorSize::B512, SectorSize::B4096];

/// Bytes at the start of a partition in which its contents are recognised.
const START: usize = 2048;

/// What is known about the sector size of a disk in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectorSizeEvidence {
    /// A GPT is where it can only be with sectors of this size.
    Table(SectorSize),
    /// What is on the disk fits together with sectors of this size only.
    Contents(SectorSize),
    /// Nothing, or the evidence contradicts itself.
    Unknown,
}

/// Finds out which sectors a disk in a file was written for.
#[must_use]
pub fn sector_size_of(disk: &dyn ReadAt) -> SectorSizeEvidence {
    let mut boot_sector = [0; 512];
    if disk.read_exact_at(0, &mut boot_sector).is_err() {
        return SectorSizeEvidence::Unknown;
    }
    let header = mbr::parse_boot_sector(&boot_sector);
    match header {
        Some(header) if mbr::is_protective(&header) => gpt(disk),
        Some(header) if mbr::divides_the_disk(&header, &boot_sector) => {
            mbr_partitions(disk, &header)
        }
        _ => volume(disk, &boot_sector),
    }
}

/// By the place of the headers: an intact primary copy counts more than a backup, which may be left
/// from an earlier table.
fn gpt(disk: &dyn ReadAt) -> SectorSizeEvidence {
    let one = |fits: &dyn Fn(SectorSize) -> bool| {
        let mut found = SIZES.into_iter().filter(|&size| fits(size));
        found.next().filter(|_| found.next().is_none())
    };
    let primary = |size| is_intact(disk, size);
    let found = if SIZES.into_iter().any(primary) {
        one(&primary)
    } else {
        one(&|size| backup_is_intact(disk, size))
    };
    found.map_or(SectorSizeEvidence::Unknown, SectorSizeEvidence::Table)
}

/// By what is where the partitions would start with either size.
fn mbr_partitions(disk: &dyn ReadAt, header: &MBRHeader) -> SectorSizeEvidence {
    let recognised = |size: SectorSize| {
        let mut inside = true;
        let mut count = 0;
        for (first, sectors, extended) in mbr::places(header) {
            inside &= (first + sectors) * size.bytes() <= disk.size();
            let mut start = vec![0; START];
            let read = disk.read_exact_at(first * size.bytes(), &mut start).is_ok();
            count += usize::from(read && (is_something(&start) || extended && has_mark(&start)));
        }
        (inside, count)
    };
    let [small, large] = SIZES.map(recognised);
    match (small, large) {
        ((_, 0), (true, 1..)) => SectorSizeEvidence::Contents(SectorSize::B4096),
        ((true, 1..), (_, 0)) | ((true, _), (false, _)) => {
            SectorSizeEvidence::Contents(SectorSize::B512)
        }
        _ => SectorSizeEvidence::Unknown,
    }
}

/// The mark at the end of a boot sector.
fn has_mark(start: &[u8]) -> bool {
    start[510..512] == [0x55, 0xaa]
}

/// Whether a partition seems to start here: a boot sector of FAT, NTFS, exFAT or BitLocker, ext, XFS,
/// LUKS or LVM. Rough, because it only weighs one place against another.
fn is_something(start: &[u8]) -> bool {
    (has_mark(start) && matches!(start[0], 0xeb | 0xe9))
        || start[1024 + 56..][..2] == [0x53, 0xef]
        || start.starts_with(b"XFSB")
        || start.starts_with(b"LUKS\xba\xbe")
        || start[512..].starts_with(b"LABELONE")
}

/// By the sector size that a file system on the whole disk was made for. XFS says nothing here: it
/// takes the physical sectors of a disk, not the logical ones.
fn volume(disk: &dyn ReadAt, boot_sector: &[u8; 512]) -> SectorSizeEvidence {
    let bytes = if has_mark(boot_sector) && &boot_sector[3..11] == b"EXFAT   " {
        1_u64.checked_shl(u32::from(boot_sector[108])).unwrap_or(0)
    } else if has_mark(boot_sector) && matches!(boot_sector[0], 0xeb | 0xe9) {
        u64::from(u16::from_le_bytes([boot_sector[11], boot_sector[12]]))
    } else {
        0
    };
    match SectorSize::try_from(bytes) {
        Ok(size) if disk.size().is_multiple_of(size.bytes()) => SectorSizeEvidence::Contents(size),
        _ => SectorSizeEvidence::Unknown,
    }
}

impl SectorSizeEvidence {
    /// The sector size, where there is evidence.
    #[must_use]
    pub const fn size(self) -> Option<SectorSize> {
        match self {
            Self::Table(size) | Self::Contents(size) => Some(size),
            Self::Unknown => None,
        }
    }

    /// Whether the evidence says that a disk does not have sectors of this size.
    #[must_use]
    pub fn contradicts(self, size: SectorSize) -> bool {
        self == Self::Table(other_sectors(size))
    }
}
