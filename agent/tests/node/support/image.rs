//! Images made up on the spot.

use bytes::Bytes;
use foghorn_image::{
    CHUNK_SIZE, ChunkContent, ChunkEntry, ChunkList, DiskGeometry, FileSystem, FileSystemKind,
    Manifest, PartitionTable, UsedMask,
};
use foghorn_types::{ByteCount, ByteOffset, ChunkId, ChunkIndex, ManifestId, SectorSize};

/// One chunk as a client has it.
#[derive(Clone)]
pub struct Chunk {
    pub id: ChunkId,
    pub compressed: Bytes,
}

pub struct Image {
    pub chunks: Vec<Chunk>,
    pub encoded: Bytes,
    pub manifest: ManifestId,
}

/// A chunk whose contents follow from `seed`, half of it incompressible.
pub fn chunk(seed: u64) -> Chunk {
    let mut plain = vec![0x5a; CHUNK_SIZE as usize];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in plain[..CHUNK_SIZE as usize / 2].chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    Chunk {
        id: ChunkId::of(&plain),
        compressed: zstd::bulk::compress(&plain, 1).unwrap().into(),
    }
}

impl Image {
    /// One chunk per seed, and a zero chunk at the end.
    pub fn new(seeds: std::ops::Range<u64>) -> Self {
        let chunks: Vec<Chunk> = seeds.map(chunk).collect();
        let ids = chunks
            .iter()
            .map(|chunk| ChunkContent::Data(chunk.id))
            .chain([ChunkContent::Zero]);
        let entries: ChunkList = (0..)
            .zip(ids)
            .map(|(index, content)| ChunkEntry {
                index: ChunkIndex::new(index),
                used: UsedMask::Whole,
                content,
            })
            .collect();
        let size = ByteCount::from_bytes(entries.len() as u64 * CHUNK_SIZE);
        let whole = FileSystem {
            partition: 0,
            start: ByteOffset::from_bytes(0),
            size,
            kind: FileSystemKind::Raw,
            used: size,
        };
        let manifest = Manifest {
            geometry: DiskGeometry {
                size,
                sector_size: SectorSize::B512,
            },
            table: PartitionTable::None,
            file_systems: vec![whole],
            chunks: entries,
            notes: Vec::new(),
            disks: Vec::new(),
        };
        let encoded: Bytes = manifest.encode().into();
        Self {
            manifest: ManifestId::of(&encoded),
            chunks,
            encoded,
        }
    }

    pub fn ids(&self) -> Vec<ChunkId> {
        self.chunks.iter().map(|chunk| chunk.id).collect()
    }
}
