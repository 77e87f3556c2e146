//! What the fuzz targets call, and what must hold whatever they are given. Shared with the replay
//! of the corpus.

use std::collections::HashMap;
use std::io;

use foghorn_disk_layout::{DirtyPolicy, ReadAt, owners, read_layout, read_volume, render_gpt};
use foghorn_image::{
    ByteRange, ChunkList, DecodeManifestError, Manifest, ManifestRoot, PartitionTable,
};
use foghorn_types::{ByteCount, ChunkId, SectorSize};

const SECTOR: usize = 512;
const RECORD: usize = 4 + SECTOR;

/// A disk that is mostly zero, see README.md.
pub(crate) struct SparseDisk<'a> {
    size: u64,
    sectors: HashMap<u64, &'a [u8]>,
}

impl<'a> SparseDisk<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        let number = |bytes: &[u8]| {
            u64::from(u32::from_le_bytes(
                bytes[..4].try_into().expect("four bytes"),
            ))
        };
        let Some((head, records)) = input.split_at_checked(4) else {
            return Self {
                size: 0,
                sectors: HashMap::new(),
            };
        };
        let sectors = records
            .chunks(RECORD)
            .filter(|record| record.len() > 4)
            .map(|r| (number(r), &r[4..]))
            .collect();
        Self {
            size: (number(head) & 0x7_ffff) * SECTOR as u64,
            sectors,
        }
    }
}

impl ReadAt for SparseDisk<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset
            .checked_add(buffer.len() as u64)
            .is_none_or(|end| end > self.size)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.fill(0);
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let within = (at % SECTOR as u64) as usize;
            let (part, after) = rest.split_at_mut((SECTOR - within).min(rest.len()));
            if let Some(found) = self
                .sectors
                .get(&(at / SECTOR as u64))
                .and_then(|sector| sector.get(within..))
            {
                let count = found.len().min(part.len());
                part[..count].copy_from_slice(&found[..count]);
            }
            at += part.len() as u64;
            rest = after;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&self, offset: u64) -> u64 {
        let starts = self.sectors.keys().map(|sector| sector * SECTOR as u64);
        starts
            .filter(|start| start + SECTOR as u64 > offset)
            .min()
            .map_or(self.size, |start| start.max(offset))
    }
}

/// What is read lies inside the disk, in order, and a GPT that was read can be written to the same
/// disk.
pub(crate) fn gpt_mbr(input: &[u8]) {
    let disk = SparseDisk::new(input);
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        let Ok(layout) = read_layout(&disk, sector_size) else {
            continue;
        };
        let mut end = 0;
        for partition in &layout.partitions {
            assert!(partition.range().start >= end && !partition.range().is_empty());
            end = partition.range().end;
            assert!(
                layout.raw_areas.gaps_within(partition.range()).total() == partition.size,
                "raw areas in partitions"
            );
        }
        assert!(end <= disk.size());
        assert!(
            layout
                .raw_areas
                .iter()
                .chain(&layout.sparse_areas)
                .chain(&layout.left_out)
                .all(|range| range.end <= disk.size())
        );
        assert!(layout.idle_areas.without(&layout.raw_areas).is_empty());
        if let PartitionTable::Gpt(table) = &layout.table {
            render_gpt(table, sector_size, ByteCount::from_bytes(disk.size()))
                .expect("a table fits where it came from");
        }
    }
}

/// What is in use lies inside the partition, whatever it is has a name or none, and both policies agree on it where both take it.
pub(crate) fn volume(input: &[u8]) {
    let disk = SparseDisk::new(input);
    let accepted = read_volume(&disk, DirtyPolicy::Accept);
    if let Ok(volume) = &accepted {
        assert!(
            volume
                .ranges
                .iter()
                .all(|range| range.end <= disk.size() && !range.is_empty())
        );
        assert_eq!(volume.used, volume.ranges.total());
        assert!(
            volume
                .ranges
                .gaps_within(ByteRange::new(0, disk.size().min(512)))
                .is_empty(),
            "the first sector is free"
        );
        let whole = ByteRange::new(0, disk.size());
        let named = owners(&disk, volume.kind, &[whole].into_iter().collect());
        assert!(named.names.iter().all(|(range, _)| *range == whole));
    }
    if let Ok(refusing) = read_volume(&disk, DirtyPolicy::Refuse) {
        assert!(accepted.is_ok_and(|accepted| accepted == refusing));
    }
}

/// What decodes is valid and encodes to the same bytes; also behind a trailer that fits, or a
/// fuzzer would never get there. The input is also taken for the only part of a manifest.
pub(crate) fn manifest(input: &[u8]) {
    let body = &input[..input.len().saturating_sub(32)];
    let with_trailer = [body, ChunkId::of(body).as_bytes()].concat();
    for bytes in [input, &with_trailer] {
        if let Ok(manifest) = Manifest::decode(bytes) {
            assert!(manifest.validate().is_ok());
            assert_eq!(manifest.encode(), bytes);
            assert!(manifest.summary().logical_size == manifest.geometry.size);
            assert!(manifest.minimum_disk().bytes() > 0 || manifest.chunks.is_empty());
        }
        if let Ok(root) = ManifestRoot::decode(&bytes.to_vec().into()) {
            part(&root, input);
        }
    }
}

/// Bytes are entries of a manifest in one way only, and each is where it may be.
fn part(root: &ManifestRoot, bytes: &[u8]) {
    let mut list = ChunkList::new();
    let read = root.walk(
        |_| Ok::<_, DecodeManifestError>(bytes.to_vec().into()),
        |entry| {
            assert!(root.geometry.chunk_len(entry.index) > 0);
            list.push(&entry);
            Ok(())
        },
    );
    if read.is_ok() {
        assert_eq!(root.clone().with_chunks(list).validate(), Ok(()));
    }
}
