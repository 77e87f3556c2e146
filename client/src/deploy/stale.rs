//! What earlier contents of the target left behind in places that the image does not use.
//!
//! Programs find out what a disk or a partition holds by superblocks at known places: most near its
//! start, some near its end, some at offsets far inside. Those of earlier contents survive a deploy
//! where the image has no used bytes, and a machine that starts from the disk then takes a
//! partition for a member of a dead RAID, or refuses to mount it because two file systems claim it.
//! So before anything is written, the bytes at all these places that the image does not use are
//! made zero: for the disk, and for every partition of the image. What is not at such a place
//! stays, and so does what the image uses; the scan finds right chunks there as before.

use foghorn_image::{ByteRange, ByteRanges, CHUNK_SIZE, ChunkEntry, DiskGeometry, Manifest};
use foghorn_types::{ByteCount, ChunkIndex};

use super::write::is_zero;
use crate::disk::{DiskError, DiskSet};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Bytes behind each place far inside that are cleared: a superblock of any kind is smaller.
const SUPERBLOCK: u64 = 64 * KIB;

/// Where superblocks are, as (start, length) in bytes from the start of a disk or partition.
///
/// The first 4 MiB hold the first superblock of everything that is known, UFS at 256 KiB, two
/// labels of ZFS, the UDF anchor, VMFS at 1 and 2 MiB, and the copies of the LUKS2 header, the last
/// of which starts at 4 MiB. The other two are copies of the superblock of btrfs.
const FROM_START: [(u64, u64); 3] = [
    (0, 4 * MIB + SUPERBLOCK),
    (64 * MIB, SUPERBLOCK),
    (256 * 1024 * MIB, SUPERBLOCK),
];

/// Bytes at the end of a disk or partition in which superblocks are.
///
/// RAID metadata of firmware (Promise: up to 3,087 sectors before the end), md 0.90 and 1.0 (the last
/// 128 KiB), two labels of ZFS (the last 768 KiB, aligned), bcachefs (1 MiB before the end), the
/// database of Windows' dynamic disks (the last MiB), backup GPTs, DRBD, NILFS2, DDF.
const AT_END: u64 = 2 * MIB;

/// Read and cleared at once, in bytes.
const STEP: u64 = 256 * KIB;

/// Ranges up to this many bytes are cheaper to write than to have zeroed.
const SMALL: u64 = 64 * KIB;

/// The places of one disk or partition, cut to what it has.
fn places(of: ByteRange) -> impl Iterator<Item = ByteRange> {
    let from_start = FROM_START
        .into_iter()
        .map(move |(start, length)| ByteRange::new(start, start + length).shifted(of.start));
    let at_end = ByteRange::new(of.end.saturating_sub(AT_END).max(of.start), of.end);
    from_start
        .chain([at_end])
        .map(move |range| ByteRange::new(range.start, range.end.min(of.end)))
        .filter(|range| !range.is_empty())
}

/// The bytes of a target of this size that have to be zero because superblocks of earlier contents
/// could be there, and that the image does not use; ascending, none overlapping. Pure.
pub(super) fn unused_places(manifest: &Manifest, target: ByteCount) -> Vec<ByteRange> {
    let partitions = manifest.file_systems.iter().map(|fs| {
        let start = fs.start.bytes();
        ByteRange::new(
            start,
            start.saturating_add(fs.size.bytes()).min(target.bytes()),
        )
    });
    let mut wanted: Vec<ByteRange> = [ByteRange::new(0, target.bytes())]
        .into_iter()
        .chain(partitions)
        .flat_map(places)
        .collect();
    wanted.sort_unstable();
    let mut unused = Vec::new();
    let mut done = 0;
    for range in wanted {
        let range = ByteRange::new(range.start.max(done), range.end);
        if !range.is_empty() {
            done = range.end;
            unused_within(manifest, range, &mut unused);
        }
    }
    unused
}

/// The same for a partition of the image that is written alone, as bytes of the target: `source`
/// is the partition in the image, `target` the one that it is written to, which may be larger: then
/// places at both ends count, and the image uses nothing of what it does not reach.
pub(super) fn unused_of_partition(
    manifest: &Manifest,
    source: ByteRange,
    target: ByteRange,
) -> ByteRanges {
    let reached = ByteRange::new(target.start, target.start + source.size().bytes());
    let wanted: ByteRanges = places(reached).chain(places(target)).collect();
    let mut unused = Vec::new();
    for range in &wanted.within(&[reached].into_iter().collect()) {
        let on_image = |at: u64| at - target.start + source.start;
        let range = ByteRange::new(on_image(range.start), on_image(range.end));
        unused_within(manifest, range, &mut unused);
    }
    let on_target = |at: u64| at - source.start + target.start;
    let unused = unused
        .into_iter()
        .map(|range| ByteRange::new(on_target(range.start), on_target(range.end)));
    let beyond = [ByteRange::new(reached.end, target.end)];
    unused
        .chain(wanted.within(&beyond.into_iter().collect()).iter())
        .collect()
}

/// Appends what of `range` the image does not use.
fn unused_within(manifest: &Manifest, range: ByteRange, unused: &mut Vec<ByteRange>) {
    let offset = |entry: &ChunkEntry| DiskGeometry::chunk_offset(entry.index).bytes();
    let Ok(first) = u32::try_from(range.start / CHUNK_SIZE) else {
        unused.push(range);
        return;
    };
    let mut at = range.start;
    for entry in manifest.chunks.iter_from(ChunkIndex::new(first)) {
        let entry = &entry;
        if offset(entry) >= range.end {
            break;
        }
        let length = manifest.geometry.chunk_len(entry.index);
        for used in entry.used.byte_ranges(length) {
            let start = offset(entry) + used.start as u64;
            if start.min(range.end) > at {
                unused.push(ByteRange::new(at, start.min(range.end)));
            }
            at = at.max(offset(entry) + used.end as u64);
        }
    }
    if at < range.end {
        unused.push(ByteRange::new(at, range.end));
    }
}

/// Makes these [`unused_places`] zero. What is zero already is only read, so a deploy that is
/// repeated writes nothing here.
pub(super) fn clear(disk: &DiskSet, places: &ByteRanges) -> Result<(), DiskError> {
    let mut buffer = vec![0; STEP as usize];
    let mut cleared = 0;
    for range in places {
        if disk.is_hole(range.start, range.size().bytes()) {
            continue;
        }
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(STEP);
            let bytes = &mut buffer[..length as usize];
            // What cannot be read may still be writable.
            if disk.read_at(at, bytes).is_err() || !is_zero(bytes) {
                clear_step(disk, at, length, bytes)?;
                cleared += length;
            }
            at += length;
        }
    }
    if cleared > 0 {
        tracing::info!(
            bytes = cleared,
            "cleared places where earlier contents had superblocks"
        );
    }
    Ok(())
}

/// `buffer` has `length` bytes.
fn clear_step(disk: &DiskSet, at: u64, length: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
    if length > SMALL {
        return disk.zero(at, length);
    }
    buffer.fill(0);
    disk.write_at(at, buffer)
}

#[cfg(test)]
mod tests {
    use foghorn_image::{
        ChunkContent, FileSystem, FileSystemKind, PartitionTable, SectorRange, UsedMask,
    };
    use foghorn_types::{ByteOffset, SectorSize};
    use proptest::prelude::*;

    use super::*;

    fn manifest(partition: (u64, u64), used: &[(u32, u16, u16)], size: u64) -> Manifest {
        Manifest {
            geometry: DiskGeometry {
                size: ByteCount::from_bytes(size),
                sector_size: SectorSize::B512,
            },
            table: PartitionTable::Mbr,
            file_systems: vec![FileSystem {
                partition: 1,
                start: ByteOffset::from_bytes(partition.0),
                size: ByteCount::from_bytes(partition.1),
                kind: FileSystemKind::Ext,
                used: ByteCount::ZERO,
            }],
            chunks: used
                .iter()
                .map(|&(index, start, end)| ChunkEntry {
                    index: ChunkIndex::new(index),
                    used: UsedMask::Ranges(vec![SectorRange { start, end }]),
                    content: ChunkContent::Zero,
                })
                .collect(),
            notes: Vec::new(),
            disks: Vec::new(),
        }
    }

    #[test]
    fn starts_ends_and_copies_are_cleared_and_used_bytes_are_not() {
        let image = manifest(
            (100 * MIB, 80 * MIB),
            &[(0, 0, 1), (179, 2046, 2048)],
            180 * MIB,
        );
        let ranges: Vec<(u64, u64)> = unused_places(&image, ByteCount::from_mib(200))
            .iter()
            .map(|range| (range.start, range.end))
            .collect();
        let start = 4 * MIB + SUPERBLOCK;
        assert_eq!(
            ranges,
            [
                (512, start),
                (64 * MIB, 64 * MIB + SUPERBLOCK),
                (100 * MIB, 100 * MIB + start),
                (164 * MIB, 164 * MIB + SUPERBLOCK),
                (178 * MIB, 180 * MIB - 1024),
                (198 * MIB, 200 * MIB),
            ]
        );
    }

    #[test]
    fn a_larger_partition_is_cleared_at_its_own_end_too() {
        let image = manifest(
            (100 * MIB, 8 * MIB),
            &[(100, 0, 2), (107, 0, 2048)],
            180 * MIB,
        );
        let (source, target) = (
            ByteRange::new(100 * MIB, 108 * MIB),
            ByteRange::new(10 * MIB, 30 * MIB),
        );
        let unused = unused_of_partition(&image, source, target);
        let ranges: Vec<(u64, u64)> = unused
            .iter()
            .map(|range| (range.start, range.end))
            .collect();
        assert_eq!(
            ranges,
            [
                (10 * MIB + 1024, 14 * MIB + SUPERBLOCK),
                (16 * MIB, 17 * MIB),
                (28 * MIB, 30 * MIB),
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_place_is_used_or_cleared_and_nothing_twice(
            partition in (0u64..400, 1u64..400),
            used in prop::collection::btree_map(0u32..12, (0u16..2047, 1u16..2048), 0..8),
            target in 0u64..2000,
        ) {
            let used: Vec<(u32, u16, u16)> = used.into_iter()
                .map(|(index, (start, length))| (index, start, (start + length).min(2048)))
                .collect();
            let size = 12 * MIB;
            let target = size + target * 512;
            let at = (partition.0 * 8192, partition.1 * 8192);
            let image = manifest(at, &used, size);
            let unused = unused_places(&image, ByteCount::from_bytes(target));
            prop_assert!(unused.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let is_used = |byte: u64| used.iter().any(|&(index, start, end)| {
                let base = u64::from(index) * MIB;
                (base + u64::from(start) * 512..base + u64::from(end) * 512).contains(&byte)
            });
            let whole = ByteRange::new(0, target);
            let part = ByteRange::new(at.0, (at.0 + at.1).min(target));
            for byte in (0..target).step_by(512) {
                let wanted = places(whole).chain(places(part)).any(|place| {
                    (place.start..place.end).contains(&byte)
                });
                let cleared = unused.iter().any(|range| (range.start..range.end).contains(&byte));
                prop_assert_eq!(cleared, wanted && !is_used(byte), "byte {}", byte);
            }
        }
    }
}
