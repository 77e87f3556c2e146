//! Checks in parts, and looks at what is there without reading it.

use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;

use crate::world::{chunks, image, manifest, store};
use foghorn_chunk_store::{ChunkProblem, PARTS, Store};

fn check(store: &Store, part: u8) -> foghorn_chunk_store::ScrubReport {
    store
        .check_part(part, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

#[test]
fn all_parts_together_are_the_store_and_each_finds_its_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..40);
    store.put_batch(&all).unwrap();
    let id = store.put_manifest(image(7), &manifest(&all)).unwrap();
    let presence = store.look_at(id).unwrap();
    assert_eq!((presence.total(), presence.missing), (40, 0));
    crate::store::flip(dir.path(), &all[3].compressed, 30);
    let (mut checked, mut damaged) = (0, Vec::new());
    for part in 0..=u8::MAX {
        let report = check(&store, part);
        assert_eq!(report.checked, u64::from(presence.parts[usize::from(part)]));
        checked += report.checked;
        damaged.extend(report.damaged.into_iter().map(|one| (one.id, part)));
    }
    assert_eq!((checked, presence.in_first(PARTS)), (40, 40));
    assert_eq!(damaged, [(all[3].id, all[3].id.as_bytes()[0])]);
    let records = store.check_records(&mut |_| ControlFlow::Continue(()));
    assert!(records.unwrap().records.is_empty());
    assert_eq!(store.damage().unwrap().manifests[&id].chunks, 1);
    // Put again, it is whole, and the old record counts for nothing.
    store.put_batch(&all[3..4]).unwrap();
    let part = all[3].id.as_bytes()[0];
    assert!(check(&store, part).is_clean());
    assert_eq!(store.damage_of(id), None);
}

#[test]
fn a_part_that_is_stopped_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let all = chunks(0..3);
    store.put_batch(&all).unwrap();
    let part = all[0].id.as_bytes()[0];
    let stopped = store.check_part(part, &mut |progress| {
        assert!(progress.bytes > 0);
        ControlFlow::Break(())
    });
    assert!(stopped.unwrap().stopped);
}

#[test]
fn a_pack_that_is_too_short_is_seen_without_reading_it() {
    let dir = tempfile::tempdir().unwrap();
    let all = chunks(0..6);
    let store = store(dir.path());
    store.put_batch(&all).unwrap();
    let id = store.put_manifest(image(7), &manifest(&all)).unwrap();
    for entry in fs::read_dir(dir.path().join("packs")).unwrap() {
        let file = OpenOptions::new().write(true).open(entry.unwrap().path());
        let file = file.unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - 1).unwrap();
    }
    let presence = store.look_again_at(id).unwrap().unwrap();
    assert_eq!((presence.total(), presence.missing), (6, 1));
    let known = store.damage_of(id).unwrap();
    assert_eq!(known.problem, ChunkProblem::Gone.to_string());
    assert_eq!(
        store
            .look_again_at(foghorn_types::ManifestId::of(b"other"))
            .unwrap(),
        None
    );
}
