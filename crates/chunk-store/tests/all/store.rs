//! The store on a real disk: what goes in comes out, damage is found and healed, and a sweep takes
//! only what nobody needs.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crate::world::{self, chunk, chunks, image, manifest, small_packs, store};
use bytes::Bytes;
use foghorn_chunk_store::{
    ChunkProblem, Damage, NewChunk, OpenStoreError, Options, PutError, PutManifestError,
    ReadChunkError, RecordName, Store,
};
use foghorn_types::{ByteCount, ChunkId, FileId, ManifestId};

#[test]
fn what_was_put_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..40);
    {
        let store = Store::open(dir.path(), small_packs()).unwrap();
        let report = store.put_batch(&all).unwrap();
        assert_eq!((report.new_chunks, report.duplicates), (40, 0));
        let again = store.put_batch(&all[..10]).unwrap();
        assert_eq!((again.new_chunks, again.duplicates), (0, 10));
    }
    let store = Store::open(dir.path(), small_packs()).unwrap();
    for chunk in &all {
        let stored = store.read(chunk.id).unwrap();
        assert_eq!(
            (stored.plain_len, stored.compressed),
            (chunk.plain_len, chunk.compressed.clone())
        );
    }
    assert_eq!(store.stats().unwrap().chunks, 40);
    assert!(matches!(
        store.read(ChunkId::of(b"other")),
        Err(ReadChunkError::NotFound(_))
    ));
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = store(dir.path());
    assert!(matches!(
        Store::open(dir.path(), Options::default()),
        Err(OpenStoreError::InUse { .. })
    ));
}

#[test]
fn a_chunk_that_is_not_what_it_says_is_refused_with_its_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let good = chunk(1);
    let cases = [
        (
            NewChunk {
                id: ChunkId::of(b"else"),
                ..chunk(2)
            },
            ChunkProblem::Hash,
        ),
        (
            NewChunk {
                plain_len: 5,
                ..chunk(2)
            },
            ChunkProblem::Compression,
        ),
        (
            NewChunk {
                compressed: Bytes::from_static(b"no zstd"),
                ..chunk(2)
            },
            ChunkProblem::Compression,
        ),
        (
            NewChunk {
                plain_len: (1 << 20) + 1,
                ..chunk(2)
            },
            ChunkProblem::TooLong,
        ),
        (bomb(), ChunkProblem::Compression),
    ];
    for (bad, expected) in cases {
        match store.put_batch(&[good.clone(), bad]) {
            Err(PutError::Invalid { problem, .. }) => assert_eq!(problem, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
        assert_eq!(
            store.contains(&[good.id]).unwrap(),
            [false],
            "part of a refused batch was stored"
        );
    }
}

/// A hundred bytes that decompress to 64 MiB.
fn bomb() -> NewChunk {
    let plain = vec![0; 64 << 20];
    let compressed = zstd::bulk::compress(&plain, 3).unwrap().into();
    NewChunk {
        id: ChunkId::of(&plain),
        plain_len: 1 << 20,
        compressed,
    }
}

#[test]
fn a_flipped_bit_is_named_by_read_and_healed_by_a_new_put() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..5);
    store.put_batch(&all).unwrap();
    flip(dir.path(), &all[2].compressed, 20);

    match store.read(all[2].id) {
        Err(ReadChunkError::Damaged {
            id,
            pack: 1,
            problem: ChunkProblem::Checksum,
        }) => assert_eq!(id, all[2].id),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        store.contains(&[all[1].id, all[2].id]).unwrap(),
        [true, false]
    );
    assert_eq!(store.put_batch(&all).unwrap().new_chunks, 1);
    assert_eq!(store.read(all[2].id).unwrap().compressed, all[2].compressed);
}

#[test]
fn who_verifies_for_himself_gets_what_is_there_but_never_another_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..5);
    store.put_batch(&all).unwrap();
    flip(dir.path(), &all[2].compressed, 20);
    flip(dir.path(), all[3].id.as_bytes(), 3);

    assert_eq!(
        store.read_unverified(all[1].id).unwrap().compressed,
        all[1].compressed
    );
    let damaged = store.read_unverified(all[2].id).unwrap().compressed;
    assert!(damaged.len() == all[2].compressed.len() && damaged != all[2].compressed);
    match store.read_unverified(all[3].id) {
        Err(ReadChunkError::Damaged {
            id,
            problem: ChunkProblem::Header,
            ..
        }) => assert_eq!(id, all[3].id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_scrub_names_damaged_chunks_and_their_images() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..6);
    store.put_batch(&all).unwrap();
    let id = store.put_manifest(image(7), &manifest(&all[..4])).unwrap();
    store.put_manifest(image(8), &manifest(&all[3..])).unwrap();
    flip(dir.path(), &all[3].compressed, 30);
    flip(dir.path(), all[0].id.as_bytes(), 3);

    let mut last = 0;
    let report = store
        .scrub(&mut |progress| {
            last = progress.checked;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        (report.checked, report.total, last, report.stopped),
        (6, 6, 6, false)
    );
    let damaged: BTreeSet<_> = report
        .damaged
        .iter()
        .map(|found| (found.id, found.images.clone(), found.problem))
        .collect_sorted();
    let expected: BTreeSet<_> = [
        (all[3].id, vec![image(7), image(8)], ChunkProblem::Checksum),
        (all[0].id, vec![image(7)], ChunkProblem::Checksum),
    ]
    .into_iter()
    .collect_sorted();
    assert_eq!(damaged, expected);
    assert_eq!(
        store
            .verify_manifest(id, &mut |_| ControlFlow::Continue(()))
            .unwrap()
            .damaged
            .len(),
        2
    );

    store.put_batch(&all).unwrap();
    assert_eq!(
        store
            .scrub(&mut |_| ControlFlow::Continue(()))
            .unwrap()
            .damaged,
        []
    );
    assert!(
        store
            .scrub(&mut |_| ControlFlow::Break(()))
            .unwrap()
            .stopped
    );
}

/// Everything that is known to be damaged: (chunks, whether the manifest itself) of each image.
fn known(store: &Store) -> Vec<(ManifestId, u64, bool)> {
    let damage = store.damage().unwrap();
    let found = damage.manifests.iter();
    found
        .map(|(id, damage)| (*id, damage.chunks, damage.record))
        .collect()
}

fn scrub(store: &Store) -> foghorn_chunk_store::ScrubReport {
    store.scrub(&mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn damage_is_known_after_a_restart_until_it_is_found_whole() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..6);
    let (one, other) = {
        let store = store(dir.path());
        store.put_batch(&all).unwrap();
        let one = store.put_manifest(image(7), &manifest(&all[..4])).unwrap();
        let other = store.put_manifest(image(8), &manifest(&all[4..])).unwrap();
        assert_eq!(known(&store), []);
        flip(dir.path(), &all[3].compressed, 30);
        // Found by a reader, who does not know whose it is.
        assert!(store.read(all[3].id).is_err());
        assert_eq!(known(&store), [(one, 1, false)]);
        (one, other)
    };
    let store = store(dir.path());
    assert_eq!(known(&store), [(one, 1, false)]);
    let found = store.damage_of(one).unwrap();
    assert!(found.problem.contains("bytes"), "{found:?}");
    assert_eq!(store.damage_of(other), None);

    // A scrub finds it again and keeps when it was found first.
    assert_eq!(scrub(&store).damaged.len(), 1);
    assert_eq!(store.damage_of(one), Some(found));
    // The bytes come back, as from a disk that misread: the next scrub finds them whole.
    let mut misread = all[3].compressed.to_vec();
    misread[30] ^= 4;
    flip(dir.path(), &misread, 30);
    assert!(scrub(&store).is_clean());
    assert_eq!(known(&store), []);
    assert!(store.read(all[3].id).is_ok());

    // A new put heals.
    flip(dir.path(), &all[3].compressed, 30);
    scrub(&store);
    assert_eq!(known(&store), [(one, 1, false)]);
    store.put_batch(&all).unwrap();
    assert_eq!(known(&store), []);

    // What no image needs any more is no damage.
    flip(dir.path(), &all[0].compressed, 30);
    scrub(&store);
    store.drop_image(image(7), one).unwrap();
    store.sweep(Duration::ZERO).unwrap();
    assert_eq!(known(&store), []);
}

#[test]
fn a_scrub_reads_manifests_names_and_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(store(dir.path()));
    let all = chunks(0..6);
    store.put_batch(&all).unwrap();
    let encoded = manifest(&all[..4]);
    let id = store.put_manifest(image(7), &encoded).unwrap();
    let file = FileId::of(b"a file");
    store.put_file(file, &mut b"a file".as_slice()).unwrap();
    assert!(scrub(&store).is_clean());

    let path = dir.path().join(format!("manifests/{id}.manifest"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let record = dir.path().join(format!("files/{file}.file"));
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[1..]).unwrap();
    let name = dir.path().join("images/9");
    fs::write(&name, "nothing").unwrap();

    let report = scrub(&store);
    assert_eq!(report.damaged, []);
    let found: Vec<_> = report
        .records
        .iter()
        .map(|record| (record.what.clone(), record.images.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (RecordName::Manifest(id), vec![image(7)]),
            (RecordName::File(file), vec![]),
            (RecordName::Name(name.clone()), vec![image(9)]),
        ]
    );
    assert_eq!(known(&store), [(id, 0, true)]);
    assert!(store.damage().unwrap().files[&file].record);
    let verified = store.verify_manifest(id, &mut |_| ControlFlow::Continue(()));
    assert_eq!(verified.unwrap().records.len(), 1);

    // The same capture again, and the same upload.
    assert_eq!(store.put_manifest(image(7), &encoded).unwrap(), id);
    store.put_file(file, &mut b"a file".as_slice()).unwrap();
    fs::remove_file(&name).unwrap();
    assert_eq!(store.damage().unwrap(), Damage::default());
    assert!(scrub(&store).is_clean());
}

#[test]
fn a_scrub_finds_chunks_that_are_not_there_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..6);
    let id = {
        let store = store(dir.path());
        store.put_batch(&all).unwrap();
        store.put_manifest(image(7), &manifest(&all)).unwrap()
    };
    // Everything but the manifest is lost.
    fs::remove_dir_all(dir.path().join("packs")).unwrap();
    fs::remove_file(dir.path().join("index.redb")).unwrap();
    let store = store(dir.path());
    let report = scrub(&store);
    let missing = report
        .damaged
        .iter()
        .filter(|chunk| chunk.problem == ChunkProblem::Missing && chunk.images == [image(7)]);
    assert_eq!(missing.count(), 6, "{report:?}");
    assert_eq!(known(&store), [(id, 6, false)]);
    store.put_batch(&all).unwrap();
    assert_eq!(known(&store), []);
}

/// `ChunkProblem` has no order of its own; its text does.
trait CollectSorted {
    fn collect_sorted(self) -> BTreeSet<String>;
}

impl<T: std::fmt::Debug, I: Iterator<Item = T>> CollectSorted for I {
    fn collect_sorted(self) -> BTreeSet<String> {
        self.map(|item| format!("{item:?}")).collect()
    }
}

#[test]
fn an_image_with_a_missing_chunk_is_refused_and_the_old_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..3);
    store.put_batch(&all[..2]).unwrap();
    let old = store.put_manifest(image(1), &manifest(&all[..2])).unwrap();
    match store.put_manifest(image(1), &manifest(&all)) {
        Err(PutManifestError::MissingChunk(id)) => assert_eq!(id, all[2].id),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        store.put_manifest(image(1), b"junk"),
        Err(PutManifestError::Decode(_))
    ));
    assert_eq!(store.manifests().unwrap(), [(image(1), old)]);
    assert_eq!(store.read_manifest(old).unwrap(), manifest(&all[..2]));
    let other = ManifestId::of(b"other");
    assert!(
        !store.drop_image(image(1), other).unwrap(),
        "only this content is meant"
    );
    assert_eq!(store.manifests().unwrap(), [(image(1), old)]);
    assert!(store.drop_image(image(1), old).unwrap());
    assert!(!store.drop_image(image(1), old).unwrap());
}

#[test]
fn a_sweep_keeps_what_an_image_shares_and_frees_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..60);
    for batch in all.chunks(10) {
        store.put_batch(batch).unwrap();
    }
    let dropped = store.put_manifest(image(1), &manifest(&all[..40])).unwrap();
    store
        .put_manifest(image(2), &manifest(&all[36..50]))
        .unwrap();
    let before = store.stats().unwrap().pack_bytes;

    store.drop_image(image(1), dropped).unwrap();
    assert_eq!(
        store
            .sweep(Duration::from_secs(3600))
            .unwrap()
            .removed_chunks,
        0,
        "all of it is younger than that"
    );
    let report = store.sweep(Duration::ZERO).unwrap();
    assert_eq!((report.removed_manifests, report.removed_chunks), (1, 46));
    assert!(
        report.removed_packs > 0 && report.rewritten_packs > 0,
        "{report:?}"
    );
    let after = store.stats().unwrap();
    assert_eq!(
        before.bytes() - after.pack_bytes.bytes(),
        report.freed.bytes()
    );
    assert_eq!(after.chunks, 14);
    drop(store);

    let store = world::store(dir.path());
    let present = store
        .contains(&all.iter().map(|chunk| chunk.id).collect::<Vec<_>>())
        .unwrap();
    assert!(
        present
            .iter()
            .enumerate()
            .all(|(number, present)| *present == (36..50).contains(&number))
    );
    assert_eq!(
        store
            .scrub(&mut |_| ControlFlow::Continue(()))
            .unwrap()
            .damaged,
        []
    );
}

#[test]
fn a_sweep_takes_nothing_that_a_running_capture_relies_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..30);
    store.put_batch(&all[..20]).unwrap();
    let guard = store.capture_guard();
    let asked: Vec<ChunkId> = all[..10].iter().map(|chunk| chunk.id).collect();
    assert!(
        guard
            .contains(&asked)
            .unwrap()
            .iter()
            .all(|present| *present)
    );
    guard.put_batch(&all[20..]).unwrap();

    let _ = store.sweep(Duration::ZERO).unwrap();
    store
        .put_manifest(image(1), &manifest(&[&all[..10], &all[20..]].concat()))
        .unwrap();
    drop(guard);
    store.sweep(Duration::ZERO).unwrap();
    assert_eq!(store.stats().unwrap().chunks, 20);
}

#[test]
fn a_pinned_manifest_outlives_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..4);
    store.put_batch(&all).unwrap();
    let id = store.put_manifest(image(1), &manifest(&all)).unwrap();
    let pin = store.pin_manifest(id);
    store.drop_image(image(1), id).unwrap();
    store.sweep(Duration::ZERO).unwrap();
    assert!(store.read(all[0].id).is_ok() && store.read_manifest(id).is_ok());
    drop(pin);
    store.sweep(Duration::ZERO).unwrap();
    assert_eq!(store.stats().unwrap().chunks, 0);
}

/// As if everything in the folder had been written ten days ago.
fn age(dir: &std::path::Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(864_000))
            .unwrap();
    }
}

#[test]
fn the_grace_of_an_old_image_begins_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..6);
    store.put_batch(&all).unwrap();
    let dropped = store.put_manifest(image(1), &manifest(&all[..3])).unwrap();
    age(&dir.path().join("manifests"));
    store.drop_image(image(1), dropped).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(store.sweep(hour).unwrap().removed_manifests, 0);
    assert!(store.read_manifest(dropped).is_ok());
    age(&dir.path().join("manifests"));
    assert_eq!(
        store.sweep(hour).unwrap().removed_manifests,
        1,
        "then its time is over"
    );
}

#[test]
fn what_an_image_was_stays_until_that_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..9);
    let ids = {
        let store = store(dir.path());
        store.put_batch(&all).unwrap();
        [0, 3, 6].map(|from| {
            let part = &all[from..from + 3];
            store.put_manifest(image(4), &manifest(part)).unwrap()
        })
    };
    let store = Arc::new(store(dir.path()));
    let held = |wanted: &[ManifestId]| {
        let mut wanted: Vec<_> = wanted.iter().map(|id| (image(4), *id)).collect();
        wanted.sort_unstable();
        assert_eq!(store.manifests().unwrap(), wanted);
        age(&dir.path().join("manifests"));
        store.sweep(Duration::ZERO).unwrap();
        for (nth, id) in ids.iter().enumerate() {
            let there = wanted.contains(&(image(4), *id));
            assert_eq!(store.read_manifest(*id).is_ok(), there, "version {nth}");
            assert_eq!(store.read(all[nth * 3].id).is_ok(), there, "version {nth}");
        }
    };
    held(&ids);
    assert!(store.drop_image(image(4), ids[1]).unwrap());
    held(&[ids[0], ids[2]]);
    // The first version once more: it is there once, and an order from before does not reach it as
    // long as the capture that has stored it runs.
    let guard = store.capture_guard();
    store.put_manifest(image(4), &manifest(&all[..3])).unwrap();
    store.drop_image(image(4), ids[0]).unwrap();
    held(&[ids[0], ids[2]]);
    drop(guard);
    assert!(store.drop_image(image(4), ids[0]).unwrap());
    held(&[ids[2]]);
    assert!(store.drop_image(image(4), ids[2]).unwrap());
    held(&[]);
}

#[test]
fn a_full_disk_does_not_keep_a_sweep_from_freeing_what_needs_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..60);
    {
        let store = store(dir.path());
        for batch in all.chunks(2) {
            store.put_batch(batch).unwrap();
        }
        // Of the first pack little is needed, which would have to be copied; of the others but the
        // last, nothing.
        store.put_manifest(image(1), &manifest(&all[..1])).unwrap();
    }
    let full = Options {
        keep_free: ByteCount::from_bytes(1 << 60),
        ..world::small_packs()
    };
    let store = Store::open(dir.path(), full).unwrap();
    let report = store.sweep(Duration::ZERO).unwrap();
    assert!(
        report.removed_packs > 5 && report.rewritten_packs == 0,
        "{report:?}"
    );
    assert!(store.read(all[0].id).is_ok());
}

#[test]
fn nobody_else_on_the_machine_reads_the_chunks() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/chunks");
    let _store = store(&path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn a_sweep_stops_when_a_manifest_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..4);
    store.put_batch(&all).unwrap();
    let id = store.put_manifest(image(1), &manifest(&all)).unwrap();
    fs::write(
        dir.path().join(format!("manifests/{id}.manifest")),
        b"damaged",
    )
    .unwrap();
    assert!(store.sweep(Duration::ZERO).is_err());
    assert_eq!(store.stats().unwrap().chunks, 4);
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt_from_the_packs() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..50);
    {
        let store = store(dir.path());
        for batch in all.chunks(7) {
            store.put_batch(batch).unwrap();
        }
    }
    // A header in the middle is damaged, too: only its chunk may be lost.
    flip(dir.path(), all[25].id.as_bytes(), 0);
    for damage in [None, Some(&b"this is no database"[..])] {
        let index = dir.path().join("index.redb");
        match damage {
            None => fs::remove_file(&index).unwrap(),
            Some(bytes) => fs::write(&index, bytes).unwrap(),
        }
        let store = store(dir.path());
        for (number, chunk) in all.iter().enumerate() {
            assert_eq!(store.read(chunk.id).is_ok(), number != 25, "chunk {number}");
        }
    }
}

#[test]
fn threads_that_put_together_all_get_what_they_were_promised() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = Arc::new(chunks(0..64));
    let putting = AtomicUsize::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (store, all, putting) = (&store, all.clone(), &putting);
            scope.spawn(move || {
                // Overlapping ranges, so that threads race for the same chunks.
                for batch in all[thread * 4..thread * 4 + 36].chunks(3) {
                    store.put_batch(batch).unwrap();
                    for chunk in batch {
                        store.read(chunk.id).unwrap();
                    }
                }
                putting.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while putting.load(Ordering::Relaxed) > 0 {
                store.sweep(Duration::from_secs(3600)).unwrap();
            }
        });
    });
    let stats = store.stats().unwrap();
    assert_eq!(stats.chunks, 64);
    assert_eq!(
        stats.stored_bytes, stats.pack_bytes,
        "a chunk was stored twice"
    );
}

#[test]
fn too_little_free_space_is_a_clear_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        keep_free: ByteCount::from_bytes(u64::MAX / 2),
        ..Options::default()
    };
    let store = Store::open(dir.path(), options).unwrap();
    let error = store.put_batch(&chunks(0..1)).unwrap_err();
    assert!(error.is_full(), "{error}");
}

/// Flips one bit, `at` bytes behind where `bytes` begin in one of the packs.
pub(crate) fn flip(dir: &std::path::Path, bytes: &[u8], at: usize) {
    for entry in fs::read_dir(dir.join("packs")).unwrap() {
        let path = entry.unwrap().path();
        let contents = fs::read(&path).unwrap();
        if let Some(found) = contents
            .windows(bytes.len())
            .position(|window| window == bytes)
        {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&[contents[found + at] ^ 4], (found + at) as u64)
                .unwrap();
            return;
        }
    }
    panic!("the bytes are in no pack");
}
