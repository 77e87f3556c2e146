//! Watches that are far behind, and one that outlives its connection.

use std::sync::Arc;

use foghorn_controller::store::{Revision, Store, WatchBatch, WatchError};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::task::JoinSet;

use crate::engine::{BOTH, Engine, Kind, PATIENCE};
use crate::store_conformance::single_calls::{put, write};

/// More revisions than either engine hands out at once, so that the cuts between pages are seen.
const BACKLOG: u64 = 2300;
const WRITERS: u64 = 50;

async fn next(watch: &mut BoxStream<'static, Result<WatchBatch, WatchError>>) -> WatchBatch {
    tokio::time::timeout(PATIENCE, watch.next())
        .await
        .expect("a watch fell silent")
        .unwrap()
        .unwrap()
}

/// Commits `count` transactions of two keys each.
async fn write_pairs(store: &Arc<dyn Store>, count: u64) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for n in (writer..count).step_by(WRITERS as usize) {
                write(
                    &*store,
                    [put(&format!("/p/a{n}"), "x"), put(&format!("/p/b{n}"), "x")],
                )
                .await;
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_comes_whole_in_order_and_goes_over_into_live_changes() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = engine.store();
        write_pairs(&store, BACKLOG).await;
        let mut watch = store.watch("/p/", 0);
        // Read slowly at first: changes go on while the watch is behind.
        assert_eq!(next(&mut watch).await.revision, 1, "{kind:?}");
        write_pairs(&store, WRITERS).await;
        for revision in 2..=BACKLOG + WRITERS {
            let batch = next(&mut watch).await;
            assert_eq!(
                (batch.revision, batch.changes.len()),
                (revision, 2),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_watch_of_etcd_goes_on_after_the_connection_was_lost() {
    let mut engine = Engine::start(Kind::Etcd).await;
    let store = engine.store();
    let mut watch = store.watch("/r", 0);
    let mut wanted: Revision = 0;
    for round in 0..3 {
        for _ in 0..5 {
            write(&*store, [put("/r", &round.to_string())]).await;
            // Half of it is read before the connection goes, and half of it after.
            if round != 1 {
                wanted += 1;
                assert_eq!(next(&mut watch).await.revision, wanted);
            }
        }
        if round == 1 {
            engine.restart().await;
            for _ in 0..5 {
                wanted += 1;
                assert_eq!(next(&mut watch).await.revision, wanted);
            }
        }
    }
}
