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
    Layout, LayoutNote, Partition, ReadGptCopyError, ReadLayoutError, check_partitions, gaps, mbr,
    read_sector,
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

/// Reads a disk whose MBR is protective.
pub(super) fn read(
    disk: &dyn ReadAt,
    sector_size: SectorSize,
    boot_sector: &[u8; 512],
    mbr: &MBRHeader,
) -> Result<Layout, ReadLayoutError> {
    if mbr::is_hybrid(mbr) {
        return Err(ReadLayoutError::HybridMbr);
    }
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
        (Err(source), Err(backup)) => {
            return Err(ReadLayoutError::GptUnreadable { source, backup });
        }
    };
    let table = GptTable {
        boot_code: Box::new(*boot_sector.first_chunk().expect("440 is less than 512")),
        mbr_signature: boot_sector[440..446].try_into().expect("six bytes"),
        protective_active: mbr::is_active(mbr),
        protective_end_chs: mbr::protective_end_chs(mbr, last_lba),
        disk_guid: copy.header.disk_guid,
        entry_slots: copy.header.number_of_partition_entries,
        entries_lba: 2,
        first_usable_lba: copy.header.first_usable_lba,
        entries: used_entries(&copy.array),
    };
    layout_of(table, sector_size, last_lba + 1, notes)
}

fn layout_of(
    table: GptTable,
    sector_size: SectorSize,
    sectors: u64,
    notes: Vec<LayoutNote>,
) -> Result<Layout, ReadLayoutError> {
    let bytes = |lba: u64| lba.saturating_mul(sector_size.bytes());
    let table_end = 2 + table.array_sectors(sector_size);
    if table.first_usable_lba < table_end {
        return Err(ReadLayoutError::GptFirstUsable {
            first_usable: table.first_usable_lba,
        });
    }
    // Room for the backup is kept free even where the table at hand has been moved or claims
    // otherwise: the same disk could not be restored without it.
    let usable_end = bytes(sectors).saturating_sub(table.backup_size(sector_size).bytes());
    let partition = |entry: &GptEntry| {
        let start = bytes(entry.first_lba);
        let end = bytes(entry.last_lba.saturating_add(1));
        Partition {
            number: entry.number,
            start: ByteOffset::from_bytes(start),
            size: ByteCount::from_bytes(end.saturating_sub(start)),
        }
    };
    let usable = ByteRange::new(bytes(table.first_usable_lba), usable_end);
    let partitions = check_partitions(table.entries.iter().map(partition).collect(), usable)?;
    let region = ByteRange::new(bytes(table_end), usable_end);
    let (raw_areas, left_out) = gaps::divide(&partitions, region, &ByteRanges::new());
    Ok(Layout {
        table: PartitionTable::Gpt(table),
        partitions,
        raw_areas,
        left_out,
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
        kind: source.kind(),
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
