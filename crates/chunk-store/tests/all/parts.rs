//! Images whose manifests are in parts.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use foghorn_chunk_store::{
    NewChunk, PutManifestError, ReadManifestError, Store, SweepError, SweepReport,
};
use foghorn_image::{
    ChunkContent, ChunkEntry, ChunkList, DiskGeometry, Manifest, PartitionTable, SectorRange,
    UsedMask,
};
use foghorn_types::{ByteCount, ChunkIndex, SectorSize};

use crate::world::{chunks, image, store};

/// A disk of 20 GiB in which every second KiB is in use and whose chunks are these, without an order,
/// so that no part is like another.
fn fragmented(chunks: &[NewChunk]) -> Manifest {
    let ranges = (0..2048).step_by(4).map(|start| SectorRange {
        start,
        end: start + 2,
    });
    let used = UsedMask::Ranges(ranges.collect());
    let entries = (0..20 << 10).map(|index: u32| ChunkEntry {
        index: ChunkIndex::new(index),
        used: used.clone(),
        content: ChunkContent::Data(
            chunks[(index.wrapping_mul(0x9E37_79B1) >> 8) as usize % chunks.len()].id,
        ),
    });
    Manifest {
        geometry: DiskGeometry {
            size: ByteCount::from_mib(20 << 10),
            sector_size: SectorSize::B512,
        },
        table: PartitionTable::None,
        file_systems: Vec::new(),
        chunks: entries.collect::<ChunkList>(),
        notes: Vec::new(),
        disks: Vec::new(),
    }
}

fn put_parts(store: &Store, manifest: &Manifest) {
    for part in manifest.parts() {
        assert_eq!(store.put_part(&part.bytes).unwrap(), (part.id, true));
    }
}

fn count(store: &Path) -> usize {
    fs::read_dir(store.join("parts")).unwrap().count()
}

fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(864_000))
            .unwrap();
    }
}

#[test]
fn an_image_in_parts_is_read_checked_and_removed_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..9);
    let manifest = fragmented(&all[..7]);
    let id = {
        let store = store(dir.path());
        store.put_batch(&all).unwrap();
        put_parts(&store, &manifest);
        store.put_manifest(image(1), &manifest.encode()).unwrap()
    };
    let store = store(dir.path());
    let root = store.manifest_root(id).unwrap();
    let mut entries = ChunkList::new();
    store
        .walk_manifest(id, &root, |entry| entries.push(&entry))
        .unwrap();
    assert_eq!(entries, manifest.chunks);
    let mut distinct = Vec::new();
    let ended = store.distinct_pages(id, &root, |ids| {
        distinct.extend_from_slice(ids);
        ControlFlow::Continue(())
    });
    assert_eq!(ended.unwrap(), ControlFlow::Continue(()));
    let mut expected: Vec<_> = all[..7].iter().map(|chunk| chunk.id).collect();
    expected.sort_unstable();
    assert_eq!(distinct, expected);
    let checked = store
        .verify_manifest(id, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(
        (checked.checked, checked.total, checked.damaged),
        (7, 7, vec![])
    );

    // Its parts are as safe as its chunks, whatever their age, and so is what has another name.
    fs::write(dir.path().join("parts/README"), "not a part").unwrap();
    age(&dir.path().join("parts"));
    let swept = store.sweep(Duration::ZERO).unwrap();
    assert_eq!((swept.removed_parts, swept.removed_chunks), (0, 2));
    let parts = root.parts().len() as u64;
    assert!(parts > 20 && store.read_part(root.parts()[3].id).is_ok());
    store.drop_image(image(1), id).unwrap();
    let swept = store.sweep(Duration::ZERO).unwrap();
    assert_eq!(
        (
            swept.removed_manifests,
            swept.removed_parts,
            swept.removed_chunks
        ),
        (1, parts, 7)
    );
    assert_eq!(count(dir.path()), 1, "only the README is left");
}

#[test]
fn a_manifest_waits_for_its_parts_and_a_damaged_one_stops_a_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..3);
    store.put_batch(&all[..2]).unwrap();
    let manifest = fragmented(&all);
    let parts = manifest.parts();
    let refused = store.put_manifest(image(1), &manifest.encode());
    assert!(
        matches!(&refused, Err(PutManifestError::Part(ReadManifestError::PartNotFound(id)))
            if *id == parts[0].id),
        "{refused:?}"
    );
    put_parts(&store, &manifest);
    let refused = store.put_manifest(image(1), &manifest.encode());
    assert!(
        matches!(refused, Err(PutManifestError::MissingChunk(id)) if id == all[2].id),
        "{refused:?}"
    );
    assert_eq!(store.manifests().unwrap(), []);
    store.put_batch(&all).unwrap();
    store.put_manifest(image(1), &manifest.encode()).unwrap();

    let path = dir.path().join(format!("parts/{}.part", parts[5].id));
    fs::write(&path, b"damaged").unwrap();
    let stopped = store.sweep(Duration::ZERO);
    assert!(
        matches!(
            stopped,
            Err(SweepError::Manifest(ReadManifestError::PartDamaged(_)))
        ),
        "{stopped:?}"
    );
    assert_eq!(store.stats().unwrap().chunks, 3);
    // Sent again, it is whole again.
    assert_eq!(
        store.put_part(&parts[5].bytes).unwrap(),
        (parts[5].id, true)
    );
    store.sweep(Duration::ZERO).unwrap();
    assert_eq!(count(dir.path()), parts.len());
}

#[test]
fn parts_without_a_manifest_stay_for_their_grace_and_as_long_as_a_capture_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let hour = Duration::from_secs(3600);
    let removed = |report: SweepReport| report.removed_parts;
    store.put_part(b"of a client that was here before").unwrap();
    age(&dir.path().join("parts"));
    let guard = store.capture_guard();
    for part in [&b"one"[..], b"two", b"one"] {
        store.put_part(part).unwrap();
    }
    assert_eq!(removed(store.sweep(hour).unwrap()), 1, "its time was over");
    assert_eq!(
        removed(store.sweep(Duration::ZERO).unwrap()),
        0,
        "a capture runs"
    );
    drop(guard);
    assert_eq!(removed(store.sweep(hour).unwrap()), 0, "they are new");
    age(&dir.path().join("parts"));
    assert!(!store.put_part(b"two").unwrap().1);
    assert_eq!(
        removed(store.sweep(hour).unwrap()),
        1,
        "one is wanted again"
    );
    assert_eq!(removed(store.sweep(Duration::ZERO).unwrap()), 1);
}
