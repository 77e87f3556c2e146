//! Used clusters of FAT12, FAT16 and FAT32: what the file allocation table does not call free. Boot
//! sectors, tables and the root directory of the older two are always in use.

mod owners;

use foghorn_image::{ByteRange, ByteRanges};

pub(super) use owners::owners;

use super::field::{Source, u16_at, u32_at};
use super::{Account, ReadVolumeError};

pub(super) const NAME: &str = "FAT";
/// Bytes of the table that are in memory at once; a multiple of every entry's size but FAT12's,
/// whose table is smaller.
const PIECE: u64 = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

impl Width {
    const fn table_bytes(self, entries: u64) -> u64 {
        match self {
            Self::Fat12 => (entries * 3).div_ceil(2),
            Self::Fat16 => entries * 2,
            Self::Fat32 => entries * 4,
        }
    }

    /// The mark of clusters that cannot be read and must not be tried.
    const fn bad(self) -> u32 {
        match self {
            Self::Fat12 => 0xff7,
            Self::Fat16 => 0xfff7,
            Self::Fat32 => 0x0fff_fff7,
        }
    }

    fn entry(self, table: &[u8], index: usize) -> u32 {
        match self {
            Self::Fat12 => u32::from(u16_at(table, index * 3 / 2) >> (index % 2 * 4) & 0xfff),
            Self::Fat16 => u32::from(u16_at(table, index * 2)),
            Self::Fat32 => u32_at(table, index * 4) & 0x0fff_ffff,
        }
    }
}

#[derive(Debug)]
struct BootSector {
    width: Width,
    /// The table that counts.
    table_offset: u64,
    /// Those that must say the same.
    copies: Vec<u64>,
    data_offset: u64,
    cluster_size: u64,
    clusters: u64,
    dirty_mount: bool,
}

/// A boot sector with a parameter block that could be FAT's, or one that says it is.
pub(super) fn looks_like_fat(start: &[u8]) -> bool {
    let says_so = start[54..].starts_with(b"FAT1")
        || start[82..].starts_with(b"FAT32")
        || start[54..].starts_with(b"FAT  ");
    let sector = u16_at(start, 11);
    let plausible = matches!(start[0], 0xeb | 0xe9)
        && sector.is_power_of_two()
        && (512..=4096).contains(&sector)
        && start[13].is_power_of_two()
        && u16_at(start, 14) > 0
        && (1..=2).contains(&start[16])
        && start[21] >= 0xf0;
    u16_at(start, 510) == 0xaa55 && (says_so || plausible) && !start[3..].starts_with(b"EXFAT")
}

impl BootSector {
    fn parse(raw: &[u8], size: u64) -> Result<Self, ReadVolumeError> {
        let damaged = |what: &str| Err(ReadVolumeError::damaged(NAME, what));
        let number = |at| u64::from(u16_at(raw, at));
        let either = |short: u64, long: usize| {
            if short != 0 {
                short
            } else {
                u64::from(u32_at(raw, long))
            }
        };
        let (sector, sectors_per_cluster, reserved, tables) = (
            number(11),
            u64::from(raw[13]),
            number(14),
            u64::from(raw[16]),
        );
        let root_entries = number(17);
        let sectors = either(number(19), 32);
        let table_sectors = either(number(22), 36);
        if !sector.is_power_of_two()
            || !(512..=4096).contains(&sector)
            || !sectors_per_cluster.is_power_of_two()
        {
            return damaged("the sizes of its sectors and clusters are not valid");
        }
        if reserved == 0 || tables == 0 || tables > 15 || table_sectors == 0 {
            return damaged("it has no file allocation table");
        }
        if sectors * sector > size {
            return damaged("it says that it is larger than its partition");
        }
        let data = reserved + tables * table_sectors + (root_entries * 32).div_ceil(sector);
        let clusters = sectors.saturating_sub(data) / sectors_per_cluster;
        let width = match clusters {
            0 => return damaged("it has no clusters"),
            // By the definition of the format the number of clusters alone decides.
            1..4085 => Width::Fat12,
            4085..65_525 => Width::Fat16,
            _ => Width::Fat32,
        };
        let is_32 = number(22) == 0;
        // mkfs.fat -F 32 makes small file systems that only the missing 16-bit field tells apart;
        // Linux reads them so.
        let width = if is_32 { Width::Fat32 } else { width };
        if width == Width::Fat32 && !is_32 {
            return damaged("it has more clusters than its kind can have");
        }
        if width.table_bytes(clusters + 2) > table_sectors * sector {
            return damaged("its file allocation table is too small for its clusters");
        }
        let flags = number(40);
        // With mirroring off, only one of the tables is kept up to date.
        let active = if is_32 && flags & 0x80 != 0 {
            flags & 0xf
        } else {
            0
        };
        if active >= tables {
            return damaged("the table that it says is active does not exist");
        }
        let mirrored = !(is_32 && flags & 0x80 != 0);
        let offset_of = |table: u64| (reserved + table * table_sectors) * sector;
        Ok(Self {
            width,
            table_offset: offset_of(active),
            copies: if mirrored {
                (1..tables).map(offset_of).collect()
            } else {
                Vec::new()
            },
            data_offset: data * sector,
            cluster_size: sectors_per_cluster * sector,
            clusters,
            dirty_mount: raw[if is_32 { 0x41 } else { 0x25 }] & 1 != 0,
        })
    }
}

/// `start`: the first 2048 bytes of the partition.
///
/// A FAT that is not marked clean is no worse than one that is: every cluster of a file is marked in
/// the table before the file has it. Tables that differ from each other are.
pub(super) fn account(source: &Source<'_>, start: &[u8]) -> Result<Account, ReadVolumeError> {
    let source = source.of(NAME);
    let boot = BootSector::parse(start, source.size)?;
    let mut used = ByteRanges::new();
    used.push(ByteRange::new(0, boot.data_offset));
    let entries = boot.clusters + 2;
    let (whole, per_piece) = match boot.width {
        Width::Fat12 => (boot.width.table_bytes(entries), entries),
        Width::Fat16 => (PIECE, PIECE / 2),
        Width::Fat32 => (PIECE, PIECE / 4),
    };
    let table_bytes = boot.width.table_bytes(entries);
    let mut unclean = None;
    let mut first = 0;
    while first < entries {
        let offset = boot.width.table_bytes(first);
        let length = whole.min(table_bytes - offset);
        let piece = |table| source.bytes(table + offset, length, "the file allocation table");
        let table = piece(boot.table_offset)?;
        let copies = boot.copies.iter().map(|&copy| piece(copy));
        let copies = copies.collect::<Result<Vec<_>, _>>()?;
        let count = per_piece.min(entries - first);
        if first == 0 {
            unclean = state(&boot, boot.width.entry(&table, 1));
        }
        for index in 0..count {
            let cluster = first + index;
            let entry = boot.width.entry(&table, index as usize);
            if cluster < 2 {
                continue;
            }
            if copies
                .iter()
                .any(|copy| boot.width.entry(copy, index as usize) != entry)
            {
                return Ok(Account::Unknown("its file allocation tables differ"));
            }
            if entry != 0 && entry != boot.width.bad() {
                let from = boot.data_offset + (cluster - 2) * boot.cluster_size;
                used.push(ByteRange::new(from, from + boot.cluster_size));
            }
        }
        first += count;
    }
    used.push(ByteRange::new(
        boot.data_offset + boot.clusters * boot.cluster_size,
        source.size,
    ));
    Ok(match unclean {
        Some(why) => Account::UsedThough(used, why),
        None => Account::Used(used),
    })
}

/// Why it is not marked clean, without its clusters.
pub(super) fn why_unclean(
    source: &Source<'_>,
    start: &[u8],
) -> Result<Option<&'static str>, ReadVolumeError> {
    let boot = BootSector::parse(start, source.size)?;
    let table = source
        .of(NAME)
        .bytes(boot.table_offset, 8, "the file allocation table")?;
    Ok(state(&boot, boot.width.entry(&table, 1)))
}

/// `flags`: the second entry of the table, which is not a cluster.
fn state(boot: &BootSector, flags: u32) -> Option<&'static str> {
    let (clean, no_error) = match boot.width {
        Width::Fat12 => (true, true),
        Width::Fat16 => (flags & 0x8000 != 0, flags & 0x4000 != 0),
        Width::Fat32 => (flags & 0x0800_0000 != 0, flags & 0x0400_0000 != 0),
    };
    match (clean && !boot.dirty_mount, no_error) {
        (true, true) => None,
        (true, false) => Some("read or write errors were met on it and not checked"),
        (false, _) => Some("it is not marked clean"),
    }
}
