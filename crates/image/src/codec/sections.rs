//! Contents of the sections.

use foghorn_types::{ByteCount, ByteOffset};

use super::DecodeManifestError;
use crate::cursor::{Cursor, put_varint};
use crate::manifest::{FileSystem, FileSystemKind};
use crate::table::{GptEntry, GptTable, PartitionTable};

const HAS_BOOT_CODE: u8 = 1;
const PROTECTIVE_ACTIVE: u8 = 2;
const PROTECTIVE_END_CHS: u8 = 4;
const HAS_ENTRIES_LBA: u8 = 8;

/// Where the entries are on nearly all disks; only another place is encoded.
const USUAL_ENTRIES_LBA: u64 = 2;

/// Most file systems in a manifest: more than partition tables have, and few enough that what is
/// decoded stays small.
const MAX_FILE_SYSTEMS: usize = 1 << 14;

pub(super) fn encode_table(table: &PartitionTable) -> Vec<u8> {
    match table {
        PartitionTable::None => vec![0],
        PartitionTable::Mbr => vec![1],
        PartitionTable::Gpt(gpt) => {
            let mut out = vec![2];
            encode_gpt(&mut out, gpt);
            out
        }
    }
}

fn encode_gpt(out: &mut Vec<u8>, gpt: &GptTable) {
    let has_boot_code = gpt.boot_code.iter().any(|&byte| byte != 0);
    let active = if gpt.protective_active {
        PROTECTIVE_ACTIVE
    } else {
        0
    };
    let end_chs = if gpt.protective_end_chs {
        PROTECTIVE_END_CHS
    } else {
        0
    };
    let moved = if gpt.entries_lba == USUAL_ENTRIES_LBA {
        0
    } else {
        HAS_ENTRIES_LBA
    };
    out.push(if has_boot_code { HAS_BOOT_CODE } else { 0 } | active | end_chs | moved);
    if has_boot_code {
        out.extend_from_slice(&*gpt.boot_code);
    }
    out.extend_from_slice(&gpt.mbr_signature);
    out.extend_from_slice(&gpt.disk_guid);
    put_varint(out, u64::from(gpt.entry_slots));
    if moved != 0 {
        put_varint(out, gpt.entries_lba);
    }
    put_varint(out, gpt.first_usable_lba);
    put_varint(out, gpt.entries.len() as u64);
    for entry in &gpt.entries {
        put_varint(out, u64::from(entry.number));
        out.extend_from_slice(&entry.type_guid);
        out.extend_from_slice(&entry.unique_guid);
        put_varint(out, entry.first_lba);
        put_varint(out, entry.last_lba);
        put_varint(out, entry.attributes);
        let used = entry
            .name
            .iter()
            .rposition(|&unit| unit != 0)
            .map_or(0, |last| last + 1);
        out.push(used as u8);
        out.extend(
            entry.name[..used]
                .iter()
                .flat_map(|unit| unit.to_le_bytes()),
        );
    }
}

pub(super) fn decode_table(mut from: Cursor<'_>) -> Result<PartitionTable, DecodeManifestError> {
    let table = match from.byte()? {
        0 => PartitionTable::None,
        1 => PartitionTable::Mbr,
        2 => PartitionTable::Gpt(decode_gpt(&mut from)?),
        _ => return Err(from.malformed("is of an unknown kind")),
    };
    from.finish()?;
    Ok(table)
}

fn decode_gpt(from: &mut Cursor<'_>) -> Result<GptTable, DecodeManifestError> {
    let flags = from.byte()?;
    if flags & !(HAS_BOOT_CODE | PROTECTIVE_ACTIVE | PROTECTIVE_END_CHS | HAS_ENTRIES_LBA) != 0 {
        return Err(from.malformed("has unknown flags"));
    }
    let mut boot_code = Box::new([0; 440]);
    if flags & HAS_BOOT_CODE != 0 {
        *boot_code = from.array()?;
        if boot_code.iter().all(|&byte| byte == 0) {
            return Err(from.malformed("spells out boot code that is not there"));
        }
    }
    let mbr_signature = from.array()?;
    let disk_guid = from.array()?;
    let entry_slots = from.number()?;
    let entries_lba = if flags & HAS_ENTRIES_LBA == 0 {
        USUAL_ENTRIES_LBA
    } else {
        match from.varint()? {
            USUAL_ENTRIES_LBA => {
                return Err(from.malformed("spells out the usual place of its entries"));
            }
            lba => lba,
        }
    };
    let first_usable_lba = from.varint()?;
    let count = from.count(37)?;
    let entries = (0..count)
        .map(|_| decode_gpt_entry(from))
        .collect::<Result<_, _>>()?;
    Ok(GptTable {
        boot_code,
        mbr_signature,
        protective_active: flags & PROTECTIVE_ACTIVE != 0,
        protective_end_chs: flags & PROTECTIVE_END_CHS != 0,
        disk_guid,
        entry_slots,
        entries_lba,
        first_usable_lba,
        entries,
    })
}

fn decode_gpt_entry(from: &mut Cursor<'_>) -> Result<GptEntry, DecodeManifestError> {
    let mut entry = GptEntry {
        number: from.number()?,
        type_guid: from.array()?,
        unique_guid: from.array()?,
        first_lba: from.varint()?,
        last_lba: from.varint()?,
        attributes: from.varint()?,
        name: [0; 36],
    };
    let used = usize::from(from.byte()?);
    let Some(name) = entry.name.get_mut(..used) else {
        return Err(from.malformed("has a name that is too long"));
    };
    for unit in name.iter_mut() {
        *unit = u16::from_le_bytes(from.array()?);
    }
    if name.last() == Some(&0) {
        return Err(from.malformed("has a name that is not in its shortest form"));
    }
    Ok(entry)
}

pub(super) fn encode_file_systems(file_systems: &[FileSystem]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, file_systems.len() as u64);
    for fs in file_systems {
        put_varint(&mut out, u64::from(fs.partition));
        put_varint(&mut out, fs.start.bytes());
        put_varint(&mut out, fs.size.bytes());
        out.push(match fs.kind {
            FileSystemKind::Raw => 0,
            FileSystemKind::Ext => 1,
            FileSystemKind::Ntfs => 2,
            FileSystemKind::Fat => 3,
        });
        put_varint(&mut out, fs.used.bytes());
    }
    out
}

pub(super) fn decode_file_systems(
    mut from: Cursor<'_>,
) -> Result<Vec<FileSystem>, DecodeManifestError> {
    let count = from.count(5)?;
    if count > MAX_FILE_SYSTEMS {
        return Err(from.malformed("are too many"));
    }
    let mut file_systems = Vec::with_capacity(count);
    for _ in 0..count {
        file_systems.push(FileSystem {
            partition: from.number()?,
            start: ByteOffset::from_bytes(from.varint()?),
            size: ByteCount::from_bytes(from.varint()?),
            kind: match from.byte()? {
                0 => FileSystemKind::Raw,
                1 => FileSystemKind::Ext,
                2 => FileSystemKind::Ntfs,
                3 => FileSystemKind::Fat,
                _ => return Err(from.malformed("name an unknown kind")),
            },
            used: ByteCount::from_bytes(from.varint()?),
        });
    }
    from.finish()?;
    Ok(file_systems)
}
