//! What one call does, engine by engine.

use bytes::Bytes;
use foghorn_controller::store::embedded::{EmbeddedStore, OpenEmbeddedError};
use foghorn_controller::store::{
    Change, Compare, MAX_OPS, MAX_TXN_BYTES, Op, Revision, Store, StoreError, Txn, TxnOutcome,
    WatchError,
};
use futures_util::StreamExt;
use tempfile::TempDir;

use crate::engine::{BOTH, Engine, Kind, PATIENCE};

pub(crate) fn put(key: &str, value: &str) -> Op {
    Op::Put {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

pub(crate) fn delete(key: &str) -> Op {
    Op::Delete {
        key: key.to_owned(),
    }
}

/// Commits without compares, and gives the revision.
pub(crate) async fn write(store: &dyn Store, ops: impl IntoIterator<Item = Op>) -> Revision {
    let txn = Txn {
        compares: Vec::new(),
        ops: ops.into_iter().collect(),
    };
    match store.commit(txn).await.unwrap() {
        TxnOutcome::Committed(revision) => revision,
        TxnOutcome::Conflict => panic!("a conflict without compares"),
    }
}

#[tokio::test]
async fn revisions_count_transactions_from_zero() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        assert_eq!(store.list("").await.unwrap().revision, 0, "{kind:?}");
        assert_eq!(
            write(store, [put("/b", "1"), put("/a", "1")]).await,
            1,
            "{kind:?}"
        );
        assert_eq!(
            write(store, [delete("/nothing")]).await,
            1,
            "{kind:?}: nothing changed"
        );
        assert_eq!(write(store, []).await, 1, "{kind:?}: nothing changed");
        assert_eq!(
            write(store, [put("/a", "1")]).await,
            2,
            "{kind:?}: the same value is a change"
        );
        let found = store.get("/a").await.unwrap().unwrap();
        assert_eq!(
            (found.created, found.modified, found.value.as_ref()),
            (1, 2, &b"1"[..]),
            "{kind:?}"
        );
        let all = store.list("").await.unwrap();
        assert_eq!(
            all.entries
                .iter()
                .map(|entry| entry.key.as_str())
                .collect::<Vec<_>>(),
            ["/a", "/b"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_watch_brings_whole_revisions_in_key_order() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        let mut watch = store.watch("/w/", 0);
        write(
            store,
            [put("/w/b", "1"), put("/other", "1"), put("/w/a", "1")],
        )
        .await;
        write(store, [put("/other", "2")]).await;
        write(store, [put("/w/c", "3"), delete("/w/b")]).await;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let batch = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            assert!(
                batch
                    .changes
                    .iter()
                    .all(|change| change.revision() == batch.revision)
            );
            seen.push((
                batch.revision,
                batch
                    .changes
                    .iter()
                    .map(|c| c.key().to_owned())
                    .collect::<Vec<_>>(),
            ));
        }
        assert_eq!(
            seen,
            [
                (1, vec!["/w/a".into(), "/w/b".into()]),
                (3, vec!["/w/b".into(), "/w/c".into()])
            ],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn history_ends_where_it_was_compacted() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        for n in 0..6 {
            write(
                store,
                [if n % 2 == 0 {
                    put("/k", "x")
                } else {
                    delete("/k")
                }],
            )
            .await;
        }
        store.compact(4).await.unwrap();
        store.compact(4).await.unwrap();
        store.compact(2).await.unwrap();
        assert!(
            matches!(store.compact(7).await, Err(StoreError::Invalid { .. })),
            "{kind:?}"
        );
        for after in 0..4 {
            let first = store.watch("/", after).next().await.unwrap();
            assert!(
                matches!(first, Err(WatchError::Compacted { compacted: 4 })),
                "{kind:?} after {after}: {first:?}"
            );
        }
        let batch = store.watch("/", 4).next().await.unwrap().unwrap();
        assert_eq!(batch.revision, 5, "{kind:?}");
        assert!(
            matches!(&batch.changes[..], [Change::Put(entry)] if entry.created == 5),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn what_can_never_be_applied_is_refused_alike() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        let many = |n: usize| {
            (0..n)
                .map(|n| put(&format!("/many/{n:03}"), "x"))
                .collect::<Vec<_>>()
        };
        let bad = [
            vec![put("/a", "1"), delete("/a")],
            vec![put("", "1")],
            many(MAX_OPS + 1),
            vec![put("/big", &"x".repeat(MAX_TXN_BYTES))],
        ];
        for ops in bad {
            let refused = store
                .commit(Txn {
                    compares: Vec::new(),
                    ops,
                })
                .await;
            assert!(
                matches!(refused, Err(StoreError::Invalid { .. })),
                "{kind:?}: {refused:?}"
            );
        }
        assert_eq!(
            store.list("").await.unwrap().revision,
            0,
            "{kind:?}: nothing was changed"
        );
        // The greatest that is allowed, with pages of a list on top.
        write(store, many(MAX_OPS)).await;
        write(store, [put("/big", &"x".repeat(MAX_TXN_BYTES - 4))]).await;
        assert_eq!(
            store.list("/many/").await.unwrap().entries.len(),
            MAX_OPS,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_long_list_is_whole_and_of_one_revision() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = &*engine.store();
        for step in 0..20 {
            write(
                store,
                (0..MAX_OPS).map(|n| put(&format!("/long/{step:02}/{n:03}"), "x")),
            )
            .await;
        }
        let all = store.list("/long/").await.unwrap();
        assert_eq!(
            (all.revision, all.entries.len()),
            (20, 20 * MAX_OPS),
            "{kind:?}"
        );
        assert!(all.entries.is_sorted_by(|a, b| a.key < b.key), "{kind:?}");
    }
}

#[tokio::test]
async fn a_second_process_is_told_that_the_file_is_in_use() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.redb");
    let first = EmbeddedStore::open(&path).await.unwrap();
    let second = EmbeddedStore::open(&path).await;
    assert!(
        matches!(second, Err(OpenEmbeddedError::InUse { .. })),
        "{:?}",
        second.err()
    );
    drop(first);
    EmbeddedStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_end_is_unknown_is_neither_success_nor_conflict() {
    let engine = Engine::start(Kind::Etcd).await;
    let store = &*engine.store();
    write(store, [put("/k", "1")]).await;
    engine.signal_etcd("-STOP");
    let txn = Txn {
        compares: vec![Compare::ModifiedAt("/k".into(), 1)],
        ops: vec![put("/k", "2")],
    };
    let unknown = store.commit(txn).await;
    engine.signal_etcd("-CONT");
    assert!(
        matches!(unknown, Err(StoreError::Unavailable { .. })),
        "{unknown:?}"
    );
    let start = std::time::Instant::now();
    let found = loop {
        match store.get("/k").await {
            Ok(found) => break found.unwrap(),
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error:?}"),
        }
    };
    assert!(
        ["1", "2"]
            .map(str::as_bytes)
            .contains(&found.value.as_ref()),
        "{found:?}"
    );
}
