//! What makes a disk look valid: wiped first, written last.
//!
//! A disk on which a deploy has not finished has no partition table and no boot sector, so nothing
//! boots from it or mounts it by mistake. Everything else stays, because the scan may find right
//! chunks in it.

use foghorn_disk_layout::render_gpt;
use foghorn_image::{Manifest, PartitionTable};
use foghorn_types::{ByteCount, ByteOffset, chain};

use super::DeployError;
use super::plan::{Plan, entry_offset};
use crate::disk::{Disk, DiskError};

/// Covers the last sector, where a backup GPT has its header, for both sector sizes; and the first
/// two sectors.
const LARGEST_SECTOR: u64 = 4096;
/// More than any real GPT needs at the start of a disk.
const MOST_HEAD: u64 = 1 << 20;

/// Byte ranges (start, length) to be zeroed before anything is written. Pure.
pub(super) fn wipe_ranges(manifest: &Manifest, target: ByteCount) -> Vec<(u64, u64)> {
    let head = match &manifest.table {
        // Up to its first usable sector the disk belongs to the table; no chunk has used bytes
        // there.
        PartitionTable::Gpt(table) => (table
            .first_usable_lba
            .saturating_mul(manifest.geometry.sector_size.bytes()))
        .min(MOST_HEAD),
        // The chunk with the boot sector is written last, whole, so whatever of it goes comes back.
        PartitionTable::Mbr | PartitionTable::None => 2 * LARGEST_SECTOR,
    };
    let head = head.min(target.bytes());
    let tail = target.bytes().saturating_sub(LARGEST_SECTOR).max(head);
    let tail_is_used = manifest.chunks.iter().rev().take(2).any(|entry| {
        let length = manifest.geometry.chunk_len(entry.index);
        entry
            .used
            .byte_ranges(length)
            .any(|range| entry_offset(entry) + range.end as u64 > tail)
    });
    let mut ranges = vec![(0, head)];
    if !tail_is_used && tail < target.bytes() {
        ranges.push((tail, target.bytes() - tail));
    }
    ranges
}

/// Zeroes the places of every table the disk may have had, durably.
pub(super) fn wipe(disk: &Disk, manifest: &Manifest) -> Result<(), DiskError> {
    for (start, length) in wipe_ranges(manifest, disk.disk_size()) {
        disk.zero(start, length)?;
    }
    disk.flush()
}

/// The pieces that make the disk valid. Computed before the first byte is written, so that a table
/// that does not fit the disk is found while nothing is lost.
pub(super) fn render(
    disk: &Disk,
    manifest: &Manifest,
) -> Result<Vec<(ByteOffset, Vec<u8>)>, DeployError> {
    match &manifest.table {
        PartitionTable::Gpt(table) => Ok(render_gpt(table, disk.sector_size(), disk.disk_size())?),
        PartitionTable::Mbr | PartitionTable::None => Ok(Vec::new()),
    }
}

/// The last writes of a deploy: flush the data, write the tables from the back (so that sector 0 is
/// the very last), flush, read them again and compare.
pub(super) fn complete(
    disk: &Disk,
    plan: &Plan,
    pieces: &[(ByteOffset, Vec<u8>)],
    boot_chunk: Option<&[u8]>,
) -> Result<(), DeployError> {
    disk.flush()?;
    let boot_entry = plan
        .manifest()
        .chunks
        .first()
        .filter(|entry| plan.is_boot_entry(entry));
    let mut written: Vec<(u64, &[u8])> = Vec::new();
    if let (Some(entry), Some(plain)) = (boot_entry, boot_chunk) {
        written.extend(
            entry
                .used
                .byte_ranges(plain.len())
                .map(|range| (range.start as u64, &plain[range])),
        );
    }
    written.extend(
        pieces
            .iter()
            .map(|(offset, bytes)| (offset.bytes(), bytes.as_slice())),
    );
    written.sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
    for (offset, bytes) in &written {
        disk.write_at(*offset, bytes)?;
    }
    disk.flush()?;
    for (offset, bytes) in &written {
        let mut found = vec![0; bytes.len()];
        disk.forget(*offset, bytes.len());
        disk.read_at(*offset, &mut found)?;
        if found != *bytes {
            return Err(DeployError::TableReadsBackWrong {
                offset: ByteOffset::from_bytes(*offset),
            });
        }
    }
    if let Err(error) = disk.reread_partition_table() {
        // The disk is right; only the kernel's idea of it is old, which matters to nobody before
        // the next boot.
        tracing::warn!(error = %chain(&error), "the kernel did not read the new partition table");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use foghorn_image::{ChunkContent, ChunkEntry, DiskGeometry, SectorRange, UsedMask};
    use foghorn_types::{ChunkIndex, SectorSize};

    use super::*;

    fn manifest(table: PartitionTable, end_unit: u16) -> Manifest {
        Manifest {
            geometry: DiskGeometry {
                size: ByteCount::from_mib(2),
                sector_size: SectorSize::B512,
            },
            table,
            file_systems: vec![],
            chunks: vec![ChunkEntry {
                index: ChunkIndex::new(1),
                used: UsedMask::Ranges(vec![SectorRange {
                    start: 1,
                    end: end_unit,
                }]),
                content: ChunkContent::Zero,
            }],
            notes: Vec::new(),
        }
    }

    #[test]
    fn used_bytes_at_the_end_are_not_wiped() {
        let size = ByteCount::from_mib(2);
        assert_eq!(
            wipe_ranges(&manifest(PartitionTable::Mbr, 100), size),
            [(0, 8192), ((2 << 20) - 4096, 4096)]
        );
        assert_eq!(
            wipe_ranges(&manifest(PartitionTable::Mbr, 2048), size),
            [(0, 8192)]
        );
        assert_eq!(
            wipe_ranges(
                &manifest(PartitionTable::None, 2048),
                ByteCount::from_mib(3)
            )
            .len(),
            2,
            "a larger disk has room behind"
        );
    }
}
