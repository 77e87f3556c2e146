//! MBR partition tables with extended and logical partitions.
//!
//! Sectors are parsed by mbrman; the chain of extended boot records is walked here, because every
//! link is checked against the disk before it is followed, and chains that are not ascending
//! (legal, and left by deleting partitions) are followed.

use std::collections::BTreeSet;
use std::io::Cursor;

use foghorn_image::{ByteRange, ByteRanges, PartitionTable};
use foghorn_types::{ByteCount, ByteOffset, SectorSize};
use mbrman::{CHS, MBRHeader, MBRPartitionEntry};

use super::{
    DeclaredType, Layout, LayoutNote, Partition, ReadLayoutError, check_partitions, gaps,
    read_sector, tail,
};
use crate::read_at::ReadAt;

const PROTECTIVE: u8 = 0xee;
/// Logical partitions that a disk may have; Linux stops at 256 of all kinds.
const MAX_LOGICAL: usize = 251;

/// The four entries, when the sector has the signature and plausible boot flags. A boot sector of a
/// file system has the signature too, but code where the entries would be.
pub(super) fn parse_boot_sector(sector: &[u8; 512]) -> Option<MBRHeader> {
    MBRHeader::read_from(&mut Cursor::new(sector)).ok()
}

fn is_used(entry: &MBRPartitionEntry) -> bool {
    entry.is_used() && entry.sectors > 0
}

/// An entry of type 0, which means "unused", that has a place and a size nevertheless. Linux makes
/// a partition of it, Windows does not.
fn is_typeless(entry: &MBRPartitionEntry) -> bool {
    !entry.is_used() && entry.sectors > 0
}

/// The type of Windows' dynamic disks, whose database of volumes is in the last MiB of the disk.
const DYNAMIC: u8 = 0x42;

/// Whether an entry other than the protective one has this byte of the disk.
pub(super) fn covers(header: &MBRHeader, sector_size: SectorSize, byte: u64) -> bool {
    let lba = byte / sector_size.bytes();
    header.iter().any(|(_, entry)| {
        let first = u64::from(entry.starting_lba);
        entry.sys != PROTECTIVE && (first..first + u64::from(entry.sectors)).contains(&lba)
    })
}

/// The first sector and the number of sectors of each used entry, with whether it is an extended
/// partition.
pub(super) fn places(header: &MBRHeader) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
    let used = header.iter().filter(|(_, entry)| is_used(entry));
    used.map(|(_, entry)| {
        let (first, sectors) = (u64::from(entry.starting_lba), u64::from(entry.sectors));
        (first, sectors, entry.is_extended())
    })
}

pub(super) fn is_protective(header: &MBRHeader) -> bool {
    header.iter().any(|(_, entry)| entry.sys == PROTECTIVE)
}

pub(super) fn is_hybrid(header: &MBRHeader) -> bool {
    header
        .iter()
        .any(|(_, entry)| entry.sys != PROTECTIVE && is_used(entry))
}

pub(super) fn is_active(header: &MBRHeader) -> bool {
    header
        .iter()
        .any(|(_, entry)| entry.sys == PROTECTIVE && entry.is_active())
}

/// Whether the protective entry gives its end by [`end_chs`], and not just the largest value there
/// is.
pub(super) fn protective_end_chs(header: &MBRHeader, last_lba: u64) -> bool {
    let [head, sector, cylinder] = end_chs(last_lba);
    let computed = CHS::new(
        u16::from(cylinder) | u16::from(sector & 0xc0) << 2,
        head,
        sector & 0x3f,
    );
    end_chs(last_lba) != END_CHS_UNKNOWN
        && header
            .iter()
            .any(|(_, entry)| entry.sys == PROTECTIVE && entry.last_chs == computed)
}

pub(crate) const END_CHS_UNKNOWN: [u8; 3] = [0xff; 3];

/// The three bytes that name a sector by cylinder, head and sector, with the 255 heads and 63
/// sectors that everyone uses.
pub(crate) fn end_chs(lba: u64) -> [u8; 3] {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    if cylinder > 1023 {
        return END_CHS_UNKNOWN;
    }
    [
        head as u8,
        sector as u8 | (cylinder >> 2) as u8 & 0xc0,
        cylinder as u8,
    ]
}

/// Whether the entries mean partitions. A file system on the whole disk has none, or (as mkfs.fat
/// makes it) one that starts in the boot sector itself.
pub(super) fn divides_the_disk(header: &MBRHeader, boot_sector: &[u8; 512]) -> bool {
    let starts_with_a_jump = matches!(boot_sector[0], 0xeb | 0xe9);
    let covers_itself = header
        .iter()
        .any(|(_, entry)| is_used(entry) && entry.starting_lba == 0);
    header.iter().any(|(_, entry)| is_used(entry)) && !(starts_with_a_jump && covers_itself)
}

/// An extended boot record: the link to the next one, and what it describes itself.
type BootRecordEntries = (Option<MBRPartitionEntry>, Vec<MBRPartitionEntry>);

/// What was found so far, in sectors.
struct Walk<'a> {
    disk: &'a dyn ReadAt,
    sector_size: SectorSize,
    partitions: Vec<Partition>,
    /// Of entries of type 0.
    typeless: Vec<Partition>,
    always: ByteRanges,
}

pub(super) fn read(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    header: &MBRHeader,
) -> Result<Layout, ReadLayoutError> {
    let sector = sector_size.bytes();
    let mut walk = Walk {
        disk,
        sector_size,
        partitions: Vec::new(),
        typeless: Vec::new(),
        always: ByteRanges::new(),
    };
    walk.always.push(ByteRange::new(0, sector));
    let containers = walk.primary_entries(header);
    let usable = ByteRange::new(sector, disk.size() / sector * sector);
    // Containers must not share bytes with primary partitions; the logical ones inside are checked
    // below.
    check_partitions(
        walk.partitions.iter().chain(&containers).copied().collect(),
        usable,
    )?;
    for container in &containers {
        walk.chain(container.range())?;
    }
    let mut notes = walk.adopt_typeless(&containers, usable);
    let partitions = check_partitions(walk.partitions, usable)?;
    let covered: ByteRanges = partitions.iter().map(Partition::range).collect();
    if let Some(record) = walk
        .always
        .iter()
        .find(|range| covered.gaps_within(*range).total() != range.size())
    {
        let what = "it lies inside a partition";
        return Err(ReadLayoutError::ExtendedBootRecord {
            lba: record.start / sector,
            what,
        });
    }
    // A disk that receives the image must have room for the whole of an extended partition, also
    // where it ends empty.
    let ends = containers
        .iter()
        .map(|container| ByteRange::new(container.range().end - sector, container.range().end));
    ends.for_each(|end| walk.always.push(end));
    let region = ByteRange::new(0, disk.size());
    let mut gaps = gaps::divide(&partitions, &ByteRanges::new(), region, &walk.always);
    if header
        .iter()
        .any(|(_, entry)| entry.sys == DYNAMIC && is_used(entry))
    {
        gaps.take_tail();
        notes.push(LayoutNote::DynamicDisk);
    }
    notes.extend(tail::data_in(disk, &gaps.tail));
    Ok(Layout {
        table: PartitionTable::Mbr,
        partitions,
        raw_areas: gaps.raw,
        sparse_areas: gaps.sparse,
        idle_areas: gaps.between,
        left_out: gaps.tail,
        raw_disk: false,
        notes,
    })
}

impl Walk<'_> {
    /// Takes the four entries of the boot sector; returns the extended partitions.
    fn primary_entries(&mut self, header: &MBRHeader) -> Vec<Partition> {
        let mut containers = Vec::new();
        for (number, entry) in header.iter() {
            let (first, sectors) = (u64::from(entry.starting_lba), u64::from(entry.sectors));
            let found = self.partition(number as u32, first, sectors, entry.sys);
            if is_typeless(entry) {
                self.typeless.push(found);
            } else if is_used(entry) && entry.is_extended() {
                containers.push(found);
            } else if is_used(entry) {
                self.partitions.push(found);
            }
        }
        containers
    }

    fn partition(&self, number: u32, first: u64, sectors: u64, kind: u8) -> Partition {
        // No overflow: sums and products of 32-bit numbers.
        Partition {
            number,
            start: ByteOffset::from_bytes(first * self.sector_size.bytes()),
            size: ByteCount::from_bytes(sectors * self.sector_size.bytes()),
            declared: DeclaredType::Mbr(kind),
        }
    }

    /// Makes partitions of the primary entries of type 0 whose bytes no other partition has, as Linux does;
    /// the others mean nothing.
    fn adopt_typeless(&mut self, containers: &[Partition], usable: ByteRange) -> Vec<LayoutNote> {
        let mut notes = Vec::new();
        for found in std::mem::take(&mut self.typeless) {
            let range = found.range();
            let inside = usable.start <= range.start && range.end <= usable.end;
            let free =
                self.partitions.iter().chain(containers).all(|other| {
                    other.range().end <= range.start || range.end <= other.range().start
                });
            let taken = inside && free && !range.is_empty();
            if taken {
                self.partitions.push(found);
            }
            notes.push(LayoutNote::TypelessEntry {
                partition: found,
                taken,
            });
        }
        notes
    }

    /// Follows the extended boot records of one extended partition.
    fn chain(&mut self, container: ByteRange) -> Result<(), ReadLayoutError> {
        let sector = self.sector_size.bytes();
        let first = container.start / sector;
        let mut visited = BTreeSet::new();
        let mut next = Some(first);
        while let Some(lba) = next {
            let damaged = |what| ReadLayoutError::ExtendedBootRecord { lba, what };
            if lba * sector >= container.end {
                return Err(damaged("it lies outside the extended partition"));
            }
            if !visited.insert(lba) {
                return Err(damaged("the chain of records leads back to it"));
            }
            if visited.len() > MAX_LOGICAL {
                return Err(damaged("there are more records than any system counts"));
            }
            let Some((link, data)) = self.record(lba)? else {
                // An extended partition that never held anything need not have a record.
                return if lba == first {
                    Ok(())
                } else {
                    Err(damaged("it has no signature, or flags that do not exist"))
                };
            };
            self.always
                .push(ByteRange::new(lba * sector, (lba + 1) * sector));
            for entry in data {
                let number = 5 + self
                    .partitions
                    .iter()
                    .filter(|partition| partition.number > 4)
                    .count();
                let found = self.partition(
                    number as u32,
                    lba + u64::from(entry.starting_lba),
                    u64::from(entry.sectors),
                    entry.sys,
                );
                if found.range().end > container.end {
                    return Err(damaged("its partition ends outside the extended partition"));
                }
                self.partitions.push(found);
            }
            next = link.map(|link| first + u64::from(link.starting_lba));
        }
        Ok(())
    }

    /// The link to the next record and the partition of this one. Only the first two entries mean
    /// anything.
    fn record(&self, lba: u64) -> Result<Option<BootRecordEntries>, ReadLayoutError> {
        let mut sector = read_sector(self.disk, self.sector_size, lba)?;
        sector[478..510].fill(0);
        let Some(header) = sector.first_chunk().and_then(parse_boot_sector) else {
            return Ok(None);
        };
        let used = header
            .iter()
            .map(|(_, entry)| entry.clone())
            .filter(is_used);
        let (links, data): (Vec<_>, Vec<_>) = used.partition(MBRPartitionEntry::is_extended);
        Ok(Some((links.into_iter().next(), data)))
    }
}
