//! Which part of an image is written, and where on the target. Everything else of the target is
//! left byte for byte as it is.

use std::path::PathBuf;

use foghorn_disk_layout::{Layout, Partition, ReadLayoutError, read_layout};
use foghorn_image::{
    ByteRange, ByteRanges, CHUNK_SIZE, ChunkEntry, ChunkList, DiskGeometry, Manifest,
    PartitionTable, used_chunks,
};
use foghorn_types::{ByteCount, ByteOffset, ChunkIndex, DiskPart};

use super::{DeployError, check_target};
use crate::disk::Disk;

/// Why a part of an image cannot be written to a target. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error(
        "the image contains only {has}, but {wanted} is to be written: capture the image again"
    )]
    NotInImage { has: DiskPart, wanted: DiskPart },
    #[error("the image has no partition {number} ({}): choose one that it has, or capture it again", list(.found))]
    NoSuchPartition { number: u32, found: Vec<u32> },
    #[error(
        "the image has {count} disks, so {part} cannot be written alone: deploy the whole image"
    )]
    SeveralDisks { part: DiskPart, count: usize },
    #[error("the image has no partition table, so its table cannot be written")]
    NoTable,
    #[error("the partition table of {path} cannot be read, so partition {number} is not found on it: deploy the whole image or the table first", path = path.display())]
    TargetTable {
        path: PathBuf,
        number: u32,
        source: ReadLayoutError,
    },
    #[error("{path} has no partition {number} ({}): deploy the whole image or the table first", list(.found), path = path.display())]
    NotOnTarget {
        path: PathBuf,
        number: u32,
        found: Vec<u32>,
    },
    #[error("partition {number} of {path} has {have} bytes, but partition {number} of the image needs {need}", path = path.display(), have = have.bytes(), need = need.bytes())]
    PartitionTooSmall {
        path: PathBuf,
        number: u32,
        have: ByteCount,
        need: ByteCount,
    },
    #[error("partition {number} of {path} has {have} bytes, but what partition {number} of the image holds can only be in one of exactly {need} bytes: {why}", path = path.display(), have = have.bytes(), need = need.bytes())]
    OtherSize {
        path: PathBuf,
        number: u32,
        have: ByteCount,
        need: ByteCount,
        why: Box<str>,
    },
    #[error("partition {number} of {path} lies at {at}, where the image has its table, boot code or a gap between partitions: remove the old table first (wipefs --all {path}) if that partition is to be given up", path = path.display(), at = at.bytes())]
    InTheWay {
        path: PathBuf,
        number: u32,
        at: ByteOffset,
    },
}

fn list(found: &[u32]) -> String {
    match found {
        [] => "it has none".to_owned(),
        [only] => format!("it has {only}"),
        several => {
            let numbers: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("it has {}", numbers.join(", "))
        }
    }
}

/// What one disk of an image becomes on the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The disk in the image.
    pub source: ByteRange,
    /// Where it starts on the targets.
    pub target: ByteOffset,
    /// The chunk that is written last of it, see [`super::plan::Plan::is_boot_entry`].
    pub boot_chunk: Option<ChunkIndex>,
}

/// What of an image goes where. Bytes of the image keep their distance from each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placement {
    /// All of it, at its place.
    Everything,
    /// All of it, each disk of the image to a disk of its own; ascending.
    Disks(Vec<Move>),
    /// What is outside of the image's partitions, at its place.
    Table { outside: ByteRanges },
    /// One partition of the image, to the start of a partition of the target, which may be larger.
    Partition {
        source: ByteRange,
        target: ByteRange,
    },
}

impl Placement {
    /// Of a manifest only the entries, and of their masks only the bytes, that are written; and the
    /// entries whose masks have become smaller, ascending. `None`: all of it is written.
    pub(super) fn clip(&self, manifest: &Manifest) -> Option<(ChunkList, Vec<ChunkIndex>)> {
        let region: ByteRanges = match self {
            Self::Everything | Self::Disks(_) => return None,
            Self::Table { outside } => outside.clone(),
            Self::Partition { source, .. } => [*source].into_iter().collect(),
        };
        let geometry = manifest.geometry;
        let (mut kept, mut clipped) = (ChunkList::new(), Vec::new());
        for mut entry in &manifest.chunks {
            let base = DiskGeometry::chunk_offset(entry.index).bytes();
            let length = geometry.chunk_len(entry.index);
            if region.covers(ByteRange::new(base, base + length as u64)) {
                kept.push(&entry);
                continue;
            }
            let used = entry.used.byte_ranges(length);
            let used: ByteRanges = used
                .map(|range| ByteRange::new(base + range.start as u64, base + range.end as u64))
                .collect();
            let written = used.within(&region);
            let Some((_, mask)) = used_chunks(geometry, &written).next() else {
                continue;
            };
            if written != used {
                entry.used = mask;
                clipped.push(entry.index);
            }
            kept.push(&entry);
        }
        Some((kept, clipped))
    }

    /// Whether the chunk is written last; see [`super::plan::Plan::is_boot_entry`].
    pub(super) fn is_boot_chunk(&self, manifest: &Manifest, index: ChunkIndex) -> bool {
        match self {
            Self::Everything | Self::Table { .. } => {
                index.get() == 0 && !matches!(manifest.table, PartitionTable::Gpt(_))
            }
            Self::Disks(moves) => moves.iter().any(|disk| disk.boot_chunk == Some(index)),
            Self::Partition { source, .. } => u64::from(index.get()) == source.start / CHUNK_SIZE,
        }
    }

    /// Where a byte of an entry goes on the target; only bytes that are written have a place.
    pub(super) fn offset(&self, entry: &ChunkEntry, within: usize) -> u64 {
        let on_image = DiskGeometry::chunk_offset(entry.index).bytes() + within as u64;
        match self {
            Self::Everything | Self::Table { .. } => on_image,
            Self::Disks(moves) => {
                let after = moves.partition_point(|disk| disk.source.start <= on_image);
                let disk = &moves[after.max(1) - 1];
                disk.target.bytes() + (on_image - disk.source.start)
            }
            Self::Partition { source, target } => {
                target.start + on_image.saturating_sub(source.start)
            }
        }
    }

    /// Of byte ranges of the target, those that may be written.
    pub(super) fn allowed(&self, ranges: &ByteRanges) -> ByteRanges {
        match self {
            Self::Everything | Self::Disks(_) => ranges.clone(),
            Self::Table { outside } => ranges.within(outside),
            Self::Partition { target, .. } => ranges.within(&[*target].into_iter().collect()),
        }
    }
}

/// Finds the place of `part` on the target, or refuses it.
///
/// # Errors
/// [`PartError`] and the refusals of [`check_target`]; nothing was written.
pub(super) fn place(
    disk: &Disk,
    manifest: &Manifest,
    part: DiskPart,
) -> Result<Placement, DeployError> {
    let has = manifest.part();
    if !has.contains(part) {
        return Err(PartError::NotInImage { has, wanted: part }.into());
    }
    match part {
        DiskPart::Everything => {
            check_target(disk, manifest)?;
            Ok(Placement::Everything)
        }
        DiskPart::Table if manifest.table == PartitionTable::None => Err(PartError::NoTable.into()),
        DiskPart::Table => {
            check_target(disk, manifest)?;
            let partitions: ByteRanges = manifest.file_systems.iter().map(range_of).collect();
            // The target may be larger than the disk that was captured.
            Ok(Placement::Table {
                outside: partitions.gaps_within(ByteRange::new(0, u64::MAX)),
            })
        }
        DiskPart::Partition(number) => place_partition(disk, manifest, number.get()),
    }
}

fn range_of(volume: &foghorn_image::FileSystem) -> ByteRange {
    let start = volume.start.bytes();
    ByteRange::new(start, start + volume.size.bytes())
}

fn place_partition(
    disk: &Disk,
    manifest: &Manifest,
    number: u32,
) -> Result<Placement, DeployError> {
    let volumes = &manifest.file_systems;
    let source = volumes.iter().find(|volume| volume.partition == number);
    let source = source.ok_or_else(|| PartError::NoSuchPartition {
        number,
        found: volumes.iter().map(|volume| volume.partition).collect(),
    })?;
    let path = || disk.path().to_owned();
    let (have, need) = (disk.sector_size(), manifest.geometry.sector_size);
    if have != need {
        return Err(DeployError::OtherSectors {
            path: path(),
            have: have.bytes(),
            need: need.bytes(),
        });
    }
    let layout = read_layout(disk, have).map_err(|source| PartError::TargetTable {
        path: path(),
        number,
        source,
    })?;
    let target = partition_of(&layout, number).ok_or_else(|| PartError::NotOnTarget {
        path: path(),
        number,
        found: numbers(&layout),
    })?;
    if target.size < source.size {
        return Err(PartError::PartitionTooSmall {
            path: path(),
            number,
            have: target.size,
            need: source.size,
        }
        .into());
    }
    if let Some(note) = manifest.size_tie(number)
        && target.size != source.size
    {
        return Err(PartError::OtherSize {
            path: path(),
            number,
            have: target.size,
            need: source.size,
            why: note.text.clone(),
        }
        .into());
    }
    Ok(Placement::Partition {
        source: range_of(source),
        target: target.range(),
    })
}

/// A disk without a table has one "partition", with number 0, which nobody can ask for.
fn partition_of(layout: &Layout, number: u32) -> Option<&Partition> {
    layout
        .partitions
        .iter()
        .find(|partition| partition.number == number)
}

fn numbers(layout: &Layout) -> Vec<u32> {
    let partitions = layout.partitions.iter();
    partitions
        .map(|partition| partition.number)
        .filter(|&number| number != 0)
        .collect()
}

/// A table must not be written over data of partitions that the target has: `written` are the bytes
/// that would be. A target whose table cannot be read, or that has none, has nothing to protect.
///
/// # Errors
/// [`PartError::InTheWay`].
pub(super) fn check_in_the_way(disk: &Disk, written: &ByteRanges) -> Result<(), PartError> {
    let Ok(layout) = read_layout(disk, disk.sector_size()) else {
        return Ok(());
    };
    if layout.table == PartitionTable::None {
        return Ok(());
    }
    for partition in &layout.partitions {
        let hit = written.within(&[partition.range()].into_iter().collect());
        if let Some(first) = hit.iter().next() {
            return Err(PartError::InTheWay {
                path: disk.path().to_owned(),
                number: partition.number,
                at: ByteOffset::from_bytes(first.start),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use foghorn_image::{ChunkContent, FileSystem, FileSystemKind, SectorRange, UsedMask};
    use foghorn_types::{ChunkId, SectorSize};

    use super::super::plan::Plan;
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Two partitions that meet in the middle of chunk 2, and boot code in chunk 0.
    fn manifest() -> Manifest {
        let volume = |partition, start, end| FileSystem {
            partition,
            start: ByteOffset::from_bytes(start),
            size: ByteCount::from_bytes(end - start),
            kind: FileSystemKind::Ext,
            used: ByteCount::from_bytes(512),
        };
        let entry = |index, used, content| ChunkEntry {
            index: ChunkIndex::new(index),
            used,
            content,
        };
        let data = |name: &[u8]| ChunkContent::Data(ChunkId::of(name));
        let boot = UsedMask::Ranges(vec![SectorRange { start: 0, end: 63 }]);
        let middle = 2 * MIB + MIB / 2;
        Manifest {
            geometry: DiskGeometry {
                size: ByteCount::from_mib(6),
                sector_size: SectorSize::B512,
            },
            table: PartitionTable::Mbr,
            file_systems: vec![volume(1, 63 * 512, middle), volume(2, middle, 5 * MIB)],
            chunks: ChunkList::from(vec![
                entry(0, boot, data(b"boot")),
                entry(1, UsedMask::Whole, data(b"one")),
                entry(2, UsedMask::Whole, data(b"both")),
                entry(3, UsedMask::Whole, ChunkContent::Zero),
                entry(4, UsedMask::Whole, data(b"two")),
            ]),
            notes: Vec::new(),
            disks: Vec::new(),
        }
    }

    fn entries(plan: &Plan) -> Vec<(u32, u64)> {
        let chunks = plan.manifest().chunks.iter();
        chunks
            .map(|entry| (entry.index.get(), plan.entry_used(&entry)))
            .collect()
    }

    #[test]
    fn a_partition_is_cut_out_of_chunks_that_it_shares_and_moved_to_its_place() {
        let middle = 2 * MIB + MIB / 2;
        let placement = Placement::Partition {
            source: ByteRange::new(middle, 5 * MIB),
            target: ByteRange::new(7 * MIB + 512, 17 * MIB),
        };
        let plan = Plan::new(manifest(), placement);
        assert_eq!(entries(&plan), [(2, MIB / 2), (3, MIB), (4, MIB)]);
        let needed: Vec<bool> = plan
            .numbers()
            .map(|number| plan.is_needed(number))
            .collect();
        assert_eq!(needed, [false, false, true, true], "boot, one, both, two");
        let first = &plan.manifest().chunks.get(0).unwrap();
        assert_eq!(plan.offset(first, (MIB / 2) as usize), 7 * MIB + 512);
        assert!(plan.is_boot_entry(first) && !plan.can_be_found(first));
        let last = &plan.manifest().chunks.get(2).unwrap();
        assert_eq!(plan.offset(last, 0), 7 * MIB + 512 + 3 * MIB / 2);
        assert!(plan.can_be_found(last));
        let wiped = [ByteRange::new(0, 20 * MIB)].into_iter().collect();
        assert_eq!(
            plan.placement().allowed(&wiped).iter().collect::<Vec<_>>(),
            [ByteRange::new(7 * MIB + 512, 17 * MIB)]
        );
    }

    #[test]
    fn of_a_table_nothing_inside_a_partition_is_written() {
        let image = manifest();
        let partitions: ByteRanges = image.file_systems.iter().map(range_of).collect();
        let outside = partitions.gaps_within(ByteRange::new(0, u64::MAX));
        let plan = Plan::new(image, Placement::Table { outside });
        assert_eq!(entries(&plan), [(0, 63 * 512)]);
        assert!(plan.is_boot_entry(&plan.manifest().chunks.get(0).unwrap()));
        let wiped = [(0, 63 * 512 + 4096), (4 * MIB, 8 * MIB)];
        let ranges = |list: [(u64, u64); 2]| -> ByteRanges {
            list.into_iter()
                .map(|(start, end)| ByteRange::new(start, end))
                .collect()
        };
        assert_eq!(
            plan.placement().allowed(&ranges(wiped)),
            ranges([(0, 63 * 512), (5 * MIB, 8 * MIB)])
        );
    }
}
