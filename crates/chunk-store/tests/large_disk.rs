//! The manifest of a very large disk, by arithmetic: written in parts as a client does it, stored,
//! and read as an agent does it. Memory does not grow with the disk.
//!
//! A sixteenth of the size in the ordinary tests; `cargo test -p foghorn-chunk-store --test
//! large_disk -- --ignored` does all of it.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

use std::ops::ControlFlow;
use std::time::Instant;

use foghorn_chunk_store::{Options, PutManifestError, Store};
use foghorn_image::{
    ChunkContent, ChunkEntry, ChunkList, DiskGeometry, EntryCount, Manifest, ManifestRoot,
    ManifestWriter, Numbering, PART_CHUNKS, PartitionTable, UsedMask,
};
use foghorn_types::{ByteCount, ChunkId, ChunkIndex, ChunkNumber, ImageId, ManifestId, SectorSize};

/// Chunks of 64 TiB, of which every fourth is in use: 16 TiB.
const CHUNKS: u32 = 64 << 20;

/// Numbers that are as different as hashes.
fn id(number: u32) -> ChunkId {
    let mut digest = [0; 32];
    let mut state = u64::from(number) + 1;
    for word in digest.as_chunks_mut::<8>().0 {
        state = state.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (state >> 29);
        *word = state.wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes();
    }
    ChunkId::from_digest(digest)
}

/// In runs of 1000 chunks, one of four is in use; of a hundred chunks, one is zero and one is the
/// same as the one before it.
fn entries(chunks: u32) -> impl Iterator<Item = ChunkEntry> {
    let used = (0..chunks).filter(|index| (index / 1000).is_multiple_of(4));
    used.map(|index| ChunkEntry {
        index: ChunkIndex::new(index),
        used: UsedMask::Whole,
        content: match index % 100 {
            50 => ChunkContent::Zero,
            51 => ChunkContent::Data(id(index - 2)),
            _ => ChunkContent::Data(id(index)),
        },
    })
}

/// Peak memory of this process in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}

fn without_entries(chunks: u32) -> Manifest {
    Manifest {
        geometry: DiskGeometry {
            size: ByteCount::from_bytes(u64::from(chunks) << 20),
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::None,
        file_systems: Vec::new(),
        chunks: ChunkList::new(),
        notes: Vec::new(),
        disks: Vec::new(),
    }
}

fn check(chunks: u32) {
    let started = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let mut writer = ManifestWriter::default();
    let (mut parts, mut used) = (0, 0_u64);
    let mut put = |ready: Vec<foghorn_image::ManifestPart>| {
        for part in ready {
            store.put_part(&part.bytes).unwrap();
            parts += 1;
        }
    };
    for entry in entries(chunks) {
        writer.push(&entry);
        used += 1;
        put(writer.take_parts());
    }
    let (encoded, rest) = writer.finish(&without_entries(chunks));
    put(rest);
    let windows = chunks.div_ceil(PART_CHUNKS);
    assert_eq!(parts, windows);
    assert!(
        encoded.len() < 48 * windows as usize,
        "{} bytes",
        encoded.len()
    );
    println!(
        "{parts} parts written after {:?}, {} MiB",
        started.elapsed(),
        peak()
    );

    let encoded = bytes::Bytes::from(encoded);
    let root = ManifestRoot::decode(&encoded).unwrap();
    let manifest = ManifestId::of(&encoded);
    let (mut expected, mut count) = (entries(chunks), EntryCount::default());
    store
        .walk_manifest(manifest, &root, |entry| {
            assert_eq!(Some(&entry), expected.next().as_ref());
            count.add(root.geometry, &entry);
        })
        .unwrap();
    assert!(expected.next().is_none());
    let zero = entries(chunks).filter(|entry| entry.content == ChunkContent::Zero);
    assert_eq!(count.used, ByteCount::from_bytes(used << 20));
    assert_eq!(
        (count.zero, count.zero + count.data),
        (zero.count() as u64, used)
    );
    println!("read after {:?}, {} MiB", started.elapsed(), peak());

    let (mut distinct, mut last) = (0, None);
    let ended = store.distinct_pages(manifest, &root, |ids| {
        assert!(last < ids.first().copied() && ids.is_sorted());
        (distinct, last) = (distinct + ids.len() as u64, ids.last().copied());
        ControlFlow::Continue(())
    });
    assert!(ended.unwrap().is_continue());
    // One of a hundred is the one two places before it once more.
    let again = entries(chunks)
        .filter(|entry| entry.index.get() % 100 == 51)
        .count() as u64;
    assert_eq!(distinct, count.data - again);
    println!(
        "{distinct} distinct after {:?}, {} MiB",
        started.elapsed(),
        peak()
    );
    let image = ImageId::new(1).unwrap();
    let refused = store.put_manifest(image, &encoded);
    assert!(matches!(refused, Err(PutManifestError::MissingChunk(first)) if first == id(0)));
    assert!(peak() < 160, "{} MiB", peak());

    // What serves an image to clients keeps 36 bytes per distinct chunk.
    let mut numbering = Numbering::default();
    store
        .walk_manifest(manifest, &root, |entry| numbering.add(&entry))
        .unwrap();
    let numbers = numbering.finish();
    assert_eq!(u64::from(numbers.count()), distinct);
    assert_eq!(numbers.id(ChunkNumber::new(49)), Some(id(49)));
    assert_eq!(numbers.id(ChunkNumber::new(50)), Some(id(52)));
    assert_eq!(numbers.number(&id(52)), Some(ChunkNumber::new(50)));
    println!("numbered after {:?}, {} MiB", started.elapsed(), peak());
    let most = 160 + ((40 * distinct) >> 20);
    assert!(peak() < most, "{} MiB of {most}", peak());
}

#[test]
fn sixteen_tebibytes_on_a_disk_of_sixty_four_take_bounded_memory_in_small() {
    check(CHUNKS / 16);
}

#[test]
#[ignore = "takes two minutes of processor time and 640 MB"]
fn sixteen_tebibytes_on_a_disk_of_sixty_four_take_bounded_memory() {
    check(CHUNKS);
}
