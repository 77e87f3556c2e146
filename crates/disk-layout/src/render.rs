//! A GPT for the disk that receives an image.

use std::io::{self, Seek, SeekFrom, Write};

use foghorn_image::{GPT_ENTRY_SIZE, GptTable, MAX_GPT_SLOTS};
use foghorn_types::{ByteCount, ByteOffset, SectorSize};
use gptman::{GPT, GPTHeader, GPTPartitionEntry};

use crate::layout::{end_chs, entry_bytes};

/// In sector 0: the end of the first partition entry as cylinder, head and sector.
const PROTECTIVE_END_CHS_AT: usize = 446 + 5;

/// Why a table does not fit a disk.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum RenderGptError {
    #[error("the partition table needs a disk of {needed} bytes, this one has {size}")]
    DiskTooSmall { needed: u64, size: u64 },
    #[error("a GPT with {slots} slots cannot contain entry {number}")]
    Slots { slots: u32, number: u32 },
    #[error("the table lets partitions start in sector {first_usable}, inside the table itself")]
    FirstUsable { first_usable: u64 },
    #[error("could not lay out the partition table")]
    Gpt(#[from] gptman::Error),
    #[error("could not lay out the protective MBR")]
    Write(#[from] io::Error),
}

/// What to write, and where, to give a disk of `disk_size` this table: the protective MBR with its
/// boot code and the primary table at the start, its entries where they were, the backup at the end,
/// positions and checksums for this size.
///
/// On a disk of the size and table it was read from, the result is what is there already. Every
/// piece is a whole number of sectors. Write the backup first: a table is then on the disk at every
/// moment.
///
/// # Errors
///
/// When the disk is too small for the partitions and the backup behind them, or the table is none.
pub fn render_gpt(
    table: &GptTable,
    sector_size: SectorSize,
    disk_size: ByteCount,
) -> Result<Vec<(ByteOffset, Vec<u8>)>, RenderGptError> {
    let sector = sector_size.bytes();
    let sectors = disk_size.bytes() / sector;
    let array_sectors = table.array_sectors(sector_size);
    let slots = table.entry_slots;
    let entries = all_slots(table)?;
    if table.entries_lba < 2
        || table.first_usable_lba < table.entries_lba.saturating_add(array_sectors)
    {
        return Err(RenderGptError::FirstUsable {
            first_usable: table.first_usable_lba,
        });
    }
    let last_used = table
        .entries
        .iter()
        .map(|entry| entry.last_lba)
        .max()
        .unwrap_or(table.first_usable_lba);
    let needed = last_used.saturating_add(array_sectors + 2);
    if needed > sectors {
        let needed = needed.saturating_mul(sector);
        return Err(RenderGptError::DiskTooSmall {
            needed,
            size: disk_size.bytes(),
        });
    }
    let last_lba = sectors - 1;
    let mut primary = GPTHeader {
        signature: *b"EFI PART",
        revision: [0, 0, 1, 0],
        header_size: 92,
        crc32_checksum: 0,
        reserved: [0; 4],
        primary_lba: 1,
        backup_lba: last_lba,
        first_usable_lba: table.first_usable_lba,
        last_usable_lba: last_lba - array_sectors - 1,
        disk_guid: table.disk_guid,
        partition_entry_lba: table.entries_lba,
        number_of_partition_entries: slots,
        size_of_partition_entry: GPT_ENTRY_SIZE as u32,
        partition_entry_array_crc32: 0,
    };
    let mut backup = primary.clone();
    backup.primary_lba = last_lba;
    backup.backup_lba = 1;
    backup.partition_entry_lba = last_lba - array_sectors;

    let at = |lba: u64, sectors: u64| (lba * sector, (sectors * sector) as usize);
    let mut pieces = Pieces::new(
        sectors * sector,
        if table.entries_lba == 2 {
            vec![at(0, 2 + array_sectors)]
        } else {
            vec![at(0, 2), at(table.entries_lba, array_sectors)]
        },
    );
    write_mbr(&mut pieces, table, sector)?;
    primary.write_into(&mut pieces, sector, &entries)?;
    let place = at(backup.partition_entry_lba, array_sectors + 1);
    let mut end = Pieces::new(sectors * sector, vec![place]);
    backup.write_into(&mut end, sector, &entries)?;
    Ok(pieces
        .list
        .into_iter()
        .chain(end.list)
        .map(|(start, bytes)| (ByteOffset::from_bytes(start), bytes))
        .collect())
}

fn all_slots(table: &GptTable) -> Result<Vec<GPTPartitionEntry>, RenderGptError> {
    let slots = table.entry_slots;
    if !(1..=MAX_GPT_SLOTS).contains(&slots) {
        return Err(RenderGptError::Slots { slots, number: 0 });
    }
    let mut entries = vec![GPTPartitionEntry::empty(); slots as usize];
    for entry in &table.entries {
        let slot = entry
            .number
            .checked_sub(1)
            .and_then(|slot| entries.get_mut(slot as usize));
        *slot.ok_or(RenderGptError::Slots {
            slots,
            number: entry.number,
        })? = entry_bytes(entry)?;
    }
    Ok(entries)
}

/// Sector 0, which is in the first piece.
fn write_mbr(pieces: &mut Pieces, table: &GptTable, sector: u64) -> Result<(), RenderGptError> {
    if let Some((0, front)) = pieces.list.first_mut() {
        front[..440].copy_from_slice(&*table.boot_code);
        front[440..446].copy_from_slice(&table.mbr_signature);
    }
    if table.protective_active {
        GPT::write_bootable_protective_mbr_into(pieces, sector)?;
    } else {
        GPT::write_protective_mbr_into(pieces, sector)?;
    }
    let last_lba = pieces.disk_size / sector - 1;
    if table.protective_end_chs
        && let Some((0, front)) = pieces.list.first_mut()
    {
        front[PROTECTIVE_END_CHS_AT..][..3].copy_from_slice(&end_chs(last_lba));
    }
    Ok(())
}

/// Parts of the disk in memory that are written as if they were the whole disk, which is how gptman
/// writes.
struct Pieces {
    /// Where each starts, and its bytes.
    list: Vec<(u64, Vec<u8>)>,
    disk_size: u64,
    at: u64,
}

impl Pieces {
    fn new(disk_size: u64, places: Vec<(u64, usize)>) -> Self {
        let list = places
            .into_iter()
            .map(|(start, length)| (start, vec![0; length]))
            .collect();
        Self {
            list,
            disk_size,
            at: 0,
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let place = self.list.iter_mut().find_map(|(start, bytes)| {
            let from = usize::try_from(self.at.checked_sub(*start)?).ok()?;
            bytes.get_mut(from..from.checked_add(data.len())?)
        });
        place.ok_or(io::ErrorKind::WriteZero)?.copy_from_slice(data);
        self.at += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.disk_size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
