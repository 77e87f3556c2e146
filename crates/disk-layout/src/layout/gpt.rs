//! GUID partition tables. Headers, entries and their checksums are gptman's; what a table may claim
//! is checked here, before anything is allocated for it.

use std::io::Cursor;

use foghorn_image::{
    ByteRange, ByteRanges, GPT_ENTRY_SIZE, GptEntry, GptTable, MAX_GPT_SLOTS, PartitionTable,
};
use foghorn_types::{ByteCount, ByteOffset, SectorSize};
use gptman::{GPTHeader, GPTPartitionEntry};
use mbrman::MBRHeader;

use super::{
    DeclaredType, Layout, LayoutNote, Partition, ReadGptCopyError, ReadLayoutError,
    check_partitions, gaps, mbr, read_sector, tail,
};
use crate::read_at::ReadAt;

const SIGNATURE: &[u8; 8] = b"EFI PART";

/// gptman reads an entry through a buffer of the entry's size in memory, which is larger than on
/// disk.
const READ_AHEAD: usize = 64;

struct GptCopy {
    header: GPTHeader,
    /// All slots as on disk, [`GPT_ENTRY_SIZE`] bytes each.
    array: Vec<u8>,
}

pub(super) fn signature_at(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    lba: u64,
) -> Result<bool, ReadLayoutError> {
    Ok(read_sector(disk, sector_size, lba)?.starts_with(SIGNATURE))
}

pub(super) fn is_intact(disk: &dyn ReadAt, sector_size: SectorSize) -> bool {
    read_copy(disk, sector_size, 1).is_ok()
}

/// Whether the backup at the end of the disk is intact.
pub(super) fn backup_is_intact(disk: &dyn ReadAt, sector_size: SectorSize) -> bool {
    let sectors = disk.size() / sector_size.bytes();
    sectors > 2 && read_copy(disk, sector_size, sectors - 1).is_ok()
}

pub(super) const fn other_sectors(than: SectorSize) -> SectorSize {
    match than {
        SectorSize::B512 => SectorSize::B4096,
        SectorSize::B4096 => SectorSize::B512,
    }
}

/// Whether an intact primary GPT has a partition with this byte of the disk.
pub(super) fn covers(disk: &dyn ReadAt, sector_size: SectorSize, byte: u64) -> bool {
    let lba = byte / sector_size.bytes();
    read_copy(disk, sector_size, 1).is_ok_and(|copy| {
        used_entries(&copy.array)
            .iter()
            .any(|entry| (entry.first_lba..=entry.last_lba).contains(&lba))
    })
}

/// Reads a disk whose MBR is protective.
pub(super) fn read(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    boot_sector: &[u8; 512],
    mbr: &MBRHeader,
) -> Result<Layout, ReadLayoutError> {
    let last_lba = disk.size() / sector_size.bytes() - 1;
    let mut notes = Vec::new();
    let copy = match (
        read_copy(disk, sector_size, 1),
        read_copy(disk, sector_size, last_lba),
    ) {
        (Ok(primary), Ok(backup)) => {
            let same = primary.array == backup.array
                && primary.header.disk_guid == backup.header.disk_guid;
            notes.extend((!same).then_some(LayoutNote::GptCopiesDiffer));
            primary
        }
        (Ok(primary), Err(why)) => {
            notes.push(LayoutNote::BackupGptDamaged(why));
            primary
        }
        (Err(why), Ok(backup)) => {
            notes.push(LayoutNote::PrimaryGptDamaged(why));
            backup
        }
        (Err(source), Err(backup)) => return Err(unreadable(disk, sector_size, source, backup)),
    };
    let entries_lba = if copy.header.primary_lba == 1 {
        copy.header.partition_entry_lba
    } else {
        primary_entries_lba(disk, sector_size, &copy)
    };
    let table = GptTable {
        boot_code: Box::new(*boot_sector.first_chunk().expect("440 is less than 512")),
        mbr_signature: boot_sector[440..446].try_into().expect("six bytes"),
        protective_active: mbr::is_active(mbr),
        protective_end_chs: mbr::protective_end_chs(mbr, last_lba),
        disk_guid: copy.header.disk_guid,
        entry_slots: copy.header.number_of_partition_entries,
        entries_lba,
        first_usable_lba: copy.header.first_usable_lba,
        entries: used_entries(&copy.array),
    };
    layout_of(disk, table, sector_size, notes)
}

/// The error for a disk without a usable GPT, which may have been written for other sectors.
fn unreadable(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    source: ReadGptCopyError,
    backup: ReadGptCopyError,
) -> ReadLayoutError {
    let other = other_sectors(sector_size);
    if is_intact(disk, other) {
        ReadLayoutError::GptOtherSectors {
            table: other.bytes(),
            disk: sector_size.bytes(),
        }
    } else {
        ReadLayoutError::GptUnreadable { source, backup }
    }
}

/// Where the primary copy had its entries, when only the backup is intact: where most of the same
/// entries still are. Without any it is the place that a legible header names and that cannot be
/// read; otherwise the usual place, unless that holds something else (a boot loader) and the place in
/// front of the first usable sector is blank.
fn primary_entries_lba(disk: &dyn ReadAt, sector_size: SectorSize, backup: &GptCopy) -> u64 {
    const USUAL: u64 = 2;
    let array_sectors = (backup.array.len() as u64).div_ceil(sector_size.bytes());
    let last = backup.header.first_usable_lba.saturating_sub(array_sectors);
    let mut header = [0; 92];
    let claimed = disk
        .read_exact_at(sector_size.bytes(), &mut header)
        .ok()
        .filter(|()| header.starts_with(SIGNATURE))
        .and_then(|()| Some(u64::from_le_bytes(*header[72..].first_chunk()?)));
    let mut at = vec![0; backup.array.len()];
    let mut best = (0, USUAL);
    let (mut blank, mut unread) = ([false; 2], None);
    for lba in [Some(USUAL), Some(last), claimed].into_iter().flatten() {
        let offset = lba.saturating_mul(sector_size.bytes());
        if !(USUAL..=last).contains(&lba) {
            continue;
        }
        if disk.read_exact_at(offset, &mut at).is_err() {
            unread = unread.or(Some(lba).filter(|_| Some(lba) == claimed));
            continue;
        }
        let slots = |bytes| <[u8]>::chunks_exact(bytes, GPT_ENTRY_SIZE as usize);
        let same = slots(&at)
            .zip(slots(&backup.array))
            .filter(|(here, entry)| here == entry && entry.iter().any(|&byte| byte != 0))
            .count();
        if same > best.0 {
            best = (same, lba);
        }
        if at.iter().all(|&byte| byte == 0) {
            blank[0] |= lba == USUAL;
            blank[1] |= lba == last;
        }
    }
    match (best, unread, blank) {
        ((0, _), Some(lba), _) => lba,
        ((0, _), None, [false, true]) => last,
        ((_, lba), ..) => lba,
    }
}

/// Types of the two kinds of partition that Windows' dynamic disks have: the database of volumes,
/// and what the volumes are made of (Microsoft's `PARTITION_LDM_METADATA_GUID` and
/// `PARTITION_LDM_DATA_GUID`, as the bytes lie on the disk).
const DYNAMIC: [[u8; 16]; 2] = [
    [
        0xaa, 0xc8, 0x08, 0x58, 0x8f, 0x7e, 0xe0, 0x42, 0x85, 0xd2, 0xe1, 0xe9, 0x04, 0x34, 0xcf,
        0xb3,
    ],
    [
        0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f, 0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69,
        0xad,
    ],
];

fn layout_of(
    disk: &dyn ReadAt,
    table: GptTable,
    sector_size: SectorSize,
    mut notes: Vec<LayoutNote>,
) -> Result<Layout, ReadLayoutError> {
    let bytes = |lba: u64| lba.saturating_mul(sector_size.bytes());
    let entries_end = table
        .entries_lba
        .saturating_add(table.array_sectors(sector_size));
    if table.first_usable_lba < entries_end {
        return Err(ReadLayoutError::GptFirstUsable {
            first_usable: table.first_usable_lba,
        });
    }
    // Room for the backup is kept free even where the table at hand has been moved or claims
    // otherwise: the same disk could not be restored without it.
    let sectors = disk.size() / sector_size.bytes();
    let usable_end = bytes(sectors).saturating_sub(table.backup_size(sector_size).bytes());
    let partition = |entry: &GptEntry| {
        let start = bytes(entry.first_lba);
        let end = bytes(entry.last_lba.saturating_add(1));
        Partition {
            number: entry.number,
            start: ByteOffset::from_bytes(start),
            size: ByteCount::from_bytes(end.saturating_sub(start)),
            declared: DeclaredType::Gpt(entry.type_guid),
        }
    };
    let usable = ByteRange::new(bytes(table.first_usable_lba), usable_end);
    let partitions = check_partitions(table.entries.iter().map(partition).collect(), usable)?;
    let region = ByteRange::new(bytes(2), usable_end);
    let entries = ByteRange::new(bytes(table.entries_lba), bytes(entries_end));
    let tables = [entries].into_iter().collect();
    let mut gaps = gaps::divide(&partitions, &tables, region, &ByteRanges::new());
    if table.entries_lba != 2 {
        notes.push(LayoutNote::GptEntriesMoved {
            lba: table.entries_lba,
        });
    }
    if table
        .entries
        .iter()
        .any(|entry| DYNAMIC.contains(&entry.type_guid))
    {
        gaps.take_tail();
        notes.push(LayoutNote::DynamicDisk);
    }
    notes.extend(tail::data_in(disk, &gaps.tail));
    Ok(Layout {
        table: PartitionTable::Gpt(table),
        partitions,
        raw_areas: gaps.raw,
        sparse_areas: gaps.sparse,
        idle_areas: gaps.between,
        left_out: gaps.tail,
        raw_disk: false,
        notes,
    })
}

fn read_copy(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    lba: u64,
) -> Result<GptCopy, ReadGptCopyError> {
    let unreadable = |source: std::io::Error| ReadGptCopyError::Unreadable {
        lba,
        why: source.to_string(),
    };
    let sectors = disk.size() / sector_size.bytes();
    let mut sector = vec![0; sector_size.bytes() as usize];
    disk.read_exact_at(lba.saturating_mul(sector_size.bytes()), &mut sector)
        .map_err(unreadable)?;
    if !sector.starts_with(SIGNATURE) {
        return Err(ReadGptCopyError::NoSignature { lba });
    }
    let mut header = GPTHeader::read_from(&mut Cursor::new(&sector)).map_err(|why| {
        ReadGptCopyError::Header {
            lba,
            what: why.to_string(),
        }
    })?;
    if header.primary_lba != lba {
        return Err(ReadGptCopyError::Misplaced {
            lba,
            claimed: header.primary_lba,
        });
    }
    let (slots, size) = (
        header.number_of_partition_entries,
        header.size_of_partition_entry,
    );
    if u64::from(size) != GPT_ENTRY_SIZE || !(1..=MAX_GPT_SLOTS).contains(&slots) {
        return Err(ReadGptCopyError::EntryFormat { slots, size });
    }
    let length = u64::from(slots) * GPT_ENTRY_SIZE;
    let entries_lba = header.partition_entry_lba;
    if entries_lba < 2 || entries_lba.saturating_add(length.div_ceil(sector_size.bytes())) > sectors
    {
        return Err(ReadGptCopyError::EntriesOutside {
            entries_lba,
            sectors,
        });
    }
    let mut array = vec![0; length as usize + READ_AHEAD];
    let (entries, _) = array.split_at_mut(length as usize);
    disk.read_exact_at(entries_lba * sector_size.bytes(), entries)
        .map_err(unreadable)?;
    // Only the bytes at hand are shown to gptman, so it must look for the entries at their start.
    header.partition_entry_lba = 0;
    header
        .read_partitions(&mut Cursor::new(&array), sector_size.bytes())
        .map_err(|why| ReadGptCopyError::Entries {
            what: why.to_string(),
        })?;
    header.partition_entry_lba = entries_lba;
    array.truncate(length as usize);
    Ok(GptCopy { header, array })
}

fn used_entries(array: &[u8]) -> Vec<GptEntry> {
    let guid = |bytes: &[u8]| -> [u8; 16] { bytes.try_into().expect("sixteen bytes") };
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let mut entries = Vec::new();
    for (slot, bytes) in (1..).zip(array.chunks_exact(GPT_ENTRY_SIZE as usize)) {
        if bytes[..16] == [0; 16] {
            continue;
        }
        let mut name = [0; 36];
        for (unit, pair) in name.iter_mut().zip(bytes[56..128].chunks_exact(2)) {
            *unit = u16::from_le_bytes([pair[0], pair[1]]);
        }
        entries.push(GptEntry {
            number: slot,
            type_guid: guid(&bytes[..16]),
            unique_guid: guid(&bytes[16..32]),
            first_lba: number(&bytes[32..40]),
            last_lba: number(&bytes[40..48]),
            attributes: number(&bytes[48..56]),
            name,
        });
    }
    entries
}

/// The entry in gptman's form, by way of its bytes: names that are not valid UTF-16 survive only
/// that way.
pub(crate) fn entry_bytes(entry: &GptEntry) -> gptman::Result<GPTPartitionEntry> {
    let mut bytes = Vec::with_capacity(GPT_ENTRY_SIZE as usize + READ_AHEAD);
    bytes.extend_from_slice(&entry.type_guid);
    bytes.extend_from_slice(&entry.unique_guid);
    for number in [entry.first_lba, entry.last_lba, entry.attributes] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend(entry.name.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.resize(bytes.len() + READ_AHEAD, 0);
    GPTPartitionEntry::read_from(&mut Cursor::new(bytes))
}
