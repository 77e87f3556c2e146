//! Whether an image works on a disk with sectors of another size. Pure.

use foghorn_image::{FileSystemKind, Manifest, PartitionTable};
use foghorn_types::SectorSize;

/// Whether the image would not be usable on a disk with sectors of this size, which is not that of
/// the captured disk.
///
/// Partition tables count in sectors, and so do NTFS, FAT, XFS and exFAT, whose superblocks name a
/// sector size; of what was taken raw, nobody knows. ext counts in blocks, which are what matters:
/// the kernel mounts it wherever its blocks are not smaller than the sectors.
pub(super) fn matter(manifest: &Manifest, target: SectorSize) -> bool {
    let only_ext = manifest
        .file_systems
        .iter()
        .all(|fs| fs.kind == FileSystemKind::Ext);
    manifest.table != PartitionTable::None || !only_ext || !fits_blocks(manifest, target)
}

/// Whether all used bytes are whole sectors of this size, as they are if blocks are.
fn fits_blocks(manifest: &Manifest, target: SectorSize) -> bool {
    let sector = target.bytes() as usize;
    manifest.chunks.iter().all(|entry| {
        let length = manifest.geometry.chunk_len(entry.index);
        entry
            .used
            .byte_ranges(length)
            .all(|range| range.start.is_multiple_of(sector) && range.end.is_multiple_of(sector))
    })
}

#[cfg(test)]
mod tests {
    use foghorn_image::{
        ChunkContent, ChunkEntry, ChunkList, DiskGeometry, FileSystem, SectorRange, UsedMask,
    };
    use foghorn_types::{ByteCount, ByteOffset, ChunkIndex};

    use super::*;

    fn manifest(table: PartitionTable, kind: FileSystemKind, end: u16) -> Manifest {
        let size = ByteCount::from_mib(2);
        Manifest {
            geometry: DiskGeometry {
                size,
                sector_size: SectorSize::B512,
            },
            table,
            file_systems: vec![FileSystem {
                partition: 0,
                start: ByteOffset::default(),
                size,
                kind,
                used: size,
            }],
            chunks: ChunkList::from(vec![ChunkEntry {
                index: ChunkIndex::new(0),
                used: UsedMask::Ranges(vec![SectorRange { start: 0, end }]),
                content: ChunkContent::Zero,
            }]),
            notes: Vec::new(),
            disks: Vec::new(),
        }
    }

    #[test]
    fn only_ext_with_large_blocks_goes_to_other_sectors() {
        use FileSystemKind::{Ext, Fat, Ntfs, Raw};
        let matters = |table, kind, end| matter(&manifest(table, kind, end), SectorSize::B4096);
        assert!(!matters(PartitionTable::None, Ext, 16));
        assert!(matters(PartitionTable::None, Ext, 18), "blocks of 1 KiB");
        assert!(matters(PartitionTable::Mbr, Ext, 16));
        for kind in [Fat, Ntfs, Raw] {
            assert!(matters(PartitionTable::None, kind, 16), "{kind:?}");
        }
    }
}
