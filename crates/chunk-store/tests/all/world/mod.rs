//! Chunks and manifests to test with.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use foghorn_chunk_store::{NewChunk, Options, Store};
use foghorn_image::{
    CHUNK_SIZE, ChunkContent, ChunkEntry, DiskGeometry, Manifest, PartitionTable, UsedMask,
};
use foghorn_types::{ByteCount, ChunkId, ChunkIndex, ImageId, SectorSize};

/// Packs of a few chunks, so that there are many.
pub(crate) fn small_packs() -> Options {
    Options {
        pack_size: ByteCount::from_bytes(200 << 10),
        keep_free: ByteCount::ZERO,
    }
}

pub(crate) fn store(path: &Path) -> Arc<Store> {
    Arc::new(Store::open(path, small_packs()).unwrap())
}

pub(crate) fn image(number: u32) -> ImageId {
    ImageId::new(number).unwrap()
}

/// A chunk that differs from all others and compresses a little: about 30 KiB.
pub(crate) fn chunk(seed: u32) -> NewChunk {
    let mut plain = Vec::with_capacity(64 << 10);
    let mut state = blake3::Hasher::new();
    let mut random = state.update(&seed.to_le_bytes()).finalize_xof();
    let mut block = [0; 32 << 10];
    random.fill(&mut block);
    plain.extend_from_slice(&block);
    plain.resize(64 << 10, 7);
    let compressed = zstd::bulk::compress(&plain, 1).unwrap();
    NewChunk {
        id: ChunkId::of(&plain),
        plain_len: plain.len() as u32,
        compressed: compressed.into(),
    }
}

pub(crate) fn chunks(seeds: Range<u32>) -> Vec<NewChunk> {
    seeds.map(chunk).collect()
}

/// An image of these chunks, one after the other on a disk without a table.
pub(crate) fn manifest(chunks: &[NewChunk]) -> Vec<u8> {
    let size = ByteCount::from_bytes(chunks.len() as u64 * CHUNK_SIZE);
    let entry = |(number, chunk): (usize, &NewChunk)| ChunkEntry {
        index: ChunkIndex::new(number as u32),
        used: UsedMask::Whole,
        content: ChunkContent::Data(chunk.id),
    };
    Manifest {
        geometry: DiskGeometry {
            size,
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::None,
        file_systems: Vec::new(),
        chunks: chunks.iter().enumerate().map(entry).collect(),
        notes: Vec::new(),
        disks: Vec::new(),
    }
    .encode()
}
