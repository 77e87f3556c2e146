//! Chunks that are elsewhere as well: they leave the disk on order, and only then, and what nobody
//! else has stays whatever happens.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use foghorn_chunk_store::{ChunkProblem, Elsewhere, NewChunk, ReadChunkError};
use foghorn_types::ChunkId;

use crate::world::{chunks, image, manifest, store};

/// What is elsewhere, and what is wrong with it there.
#[derive(Default)]
struct Other(Mutex<HashMap<ChunkId, Option<ChunkProblem>>>);

impl Other {
    fn has(&self, chunks: &[NewChunk]) {
        let mut known = self.0.lock().unwrap();
        known.extend(chunks.iter().map(|chunk| (chunk.id, None)));
    }
}

impl Elsewhere for Other {
    fn place(&self, id: &ChunkId) -> Option<u64> {
        self.0.lock().unwrap().contains_key(id).then_some(7)
    }

    fn check(&self, id: ChunkId) -> Option<ChunkProblem> {
        self.0.lock().unwrap().get(&id).copied().flatten()
    }
}

fn ids(chunks: &[NewChunk]) -> Vec<ChunkId> {
    chunks.iter().map(|chunk| chunk.id).collect()
}

#[test]
fn only_what_is_elsewhere_and_needed_by_nobody_here_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (store(dir.path()), Arc::new(Other::default()));
    store.set_elsewhere(other.clone());
    let all = chunks(0..40);
    store.put_batch(&all).unwrap();
    // Two images with ten common chunks, and a file.
    let one = store.put_manifest(image(1), &manifest(&all[..20])).unwrap();
    let two = store
        .put_manifest(image(2), &manifest(&all[10..30]))
        .unwrap();
    let away = |ids: &[foghorn_types::ManifestId]| ids.iter().copied().collect::<HashSet<_>>();

    // Nothing is elsewhere.
    let report = store.evict(one, &away(&[one])).unwrap();
    assert_eq!(report.removed_chunks, 0);
    other.has(&all[..15]);
    {
        // Somebody is served from it, or captures.
        let _pin = store.pin_manifest(one);
        assert_eq!(store.evict(one, &away(&[one])).unwrap().removed_chunks, 0);
    }
    {
        let guard = store.capture_guard();
        assert!(
            guard
                .contains(&ids(&all[..20]))
                .unwrap()
                .iter()
                .all(|is_here| *is_here)
        );
        assert_eq!(store.evict(one, &away(&[one])).unwrap().removed_chunks, 0);
    }
    // The other image stays here, so its chunks do.
    assert_eq!(store.evict(one, &away(&[one])).unwrap().removed_chunks, 10);
    assert_eq!(
        store.contains(&ids(&all[..20])).unwrap(),
        [[false; 10], [true; 10]].concat()
    );
    assert!(matches!(
        store.read(all[0].id),
        Err(ReadChunkError::NotFound(_))
    ));
    assert_eq!(
        store.evict(one, &away(&[one, two])).unwrap().removed_chunks,
        5
    );

    // It is not missing for that: an image may be stored that needs it, a scrub finds nothing, and
    // a check of the image asks there.
    store.put_manifest(image(3), &manifest(&all[..20])).unwrap();
    let mut quiet = |_| ControlFlow::Continue(());
    assert!(store.scrub(&mut quiet).unwrap().is_clean());
    assert!(store.verify_manifest(one, &mut quiet).unwrap().is_clean());
    other
        .0
        .lock()
        .unwrap()
        .insert(all[3].id, Some(ChunkProblem::Hash));
    let found = store.verify_manifest(one, &mut quiet).unwrap();
    assert_eq!((found.damaged.len(), found.damaged[0].id), (1, all[3].id));

    // Put again, it is here again; what is lost elsewhere is missing.
    store.put_batch(&all[3..4]).unwrap();
    assert!(store.verify_manifest(one, &mut quiet).unwrap().is_clean());
    other.0.lock().unwrap().clear();
    let found = store.verify_manifest(one, &mut quiet).unwrap();
    assert_eq!(found.damaged.len(), 14);
    assert!(store.put_manifest(image(4), &manifest(&all[..20])).is_err());
}

#[test]
fn a_disk_gets_its_room_back_and_a_chunk_is_read_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (store(dir.path()), Arc::new(Other::default()));
    store.set_elsewhere(other.clone());
    let all = chunks(0..30);
    store.put_batch(&all).unwrap();
    let one = store.put_manifest(image(1), &manifest(&all)).unwrap();
    assert_eq!(
        store.read_whole(all[5].id).unwrap().compressed,
        all[5].compressed
    );
    let before = store.pack_bytes();
    // A bit flips here: a scrub takes it from elsewhere from then on.
    let pack = std::fs::read_dir(dir.path().join("packs")).unwrap();
    let pack = pack.map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[500] ^= 8;
    std::fs::write(&pack, bytes).unwrap();
    let mut quiet = |_| ControlFlow::Continue(());
    assert_eq!(store.scrub(&mut quiet).unwrap().damaged.len(), 1);
    other.has(&all);
    assert!(store.scrub(&mut quiet).unwrap().is_clean());
    assert_eq!(
        store.damage().unwrap(),
        foghorn_chunk_store::Damage::default()
    );
    let report = store.evict(one, &HashSet::from([one])).unwrap();
    assert_eq!(report.removed_chunks, 29);
    assert!(report.removed_packs > 0, "{report:?}");
    assert_eq!(store.pack_bytes().bytes(), 0, "of {before}");
}
