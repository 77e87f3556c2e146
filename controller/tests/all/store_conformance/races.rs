//! Many writers at once.

use std::sync::Arc;

use bytes::Bytes;
use foghorn_controller::store::{Compare, Op, Store, Txn, TxnOutcome};
use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::engine::{BOTH, Engine, PATIENCE};
use crate::store_conformance::single_calls::{put, write};

const WRITERS: usize = 8;
const ROUNDS: usize = 15;

fn swap(seen: u64, writer: usize) -> Txn {
    let value = Bytes::from(writer.to_string());
    Txn {
        compares: vec![Compare::ModifiedAt("/race".into(), seen)],
        ops: vec![Op::Put {
            key: "/race".into(),
            value,
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_one_of_many_wins_each_round() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = engine.store();
        let mut seen = write(&*store, [put("/race", "start")]).await;
        for round in 0..ROUNDS {
            let mut racers = JoinSet::new();
            for writer in 0..WRITERS {
                let store = store.clone();
                racers.spawn(
                    async move { (writer, store.commit(swap(seen, writer)).await.unwrap()) },
                );
            }
            let outcomes = racers.join_all().await;
            let winners: Vec<_> = outcomes
                .iter()
                .filter_map(|(writer, outcome)| match outcome {
                    TxnOutcome::Committed(revision) => Some((writer, *revision)),
                    TxnOutcome::Conflict => None,
                })
                .collect();
            let [(writer, revision)] = winners[..] else {
                panic!("{kind:?} round {round}: {outcomes:?}")
            };
            assert_eq!(
                revision,
                seen + 1,
                "{kind:?}: a lost race raises no revision"
            );
            let found = store.get("/race").await.unwrap().unwrap();
            assert_eq!(
                (found.modified, found.value),
                (revision, Bytes::from(writer.to_string())),
                "{kind:?}"
            );
            seen = revision;
        }
    }
}

async fn increment(store: &dyn Store) {
    loop {
        let found = store.get("/count").await.unwrap().unwrap();
        let count: u64 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
        let txn = Txn {
            compares: vec![Compare::ModifiedAt("/count".into(), found.modified)],
            ops: vec![put("/count", &(count + 1).to_string())],
        };
        if store.commit(txn).await.unwrap() != TxnOutcome::Conflict {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_increment_is_lost_and_a_watch_sees_each_once() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = engine.store();
        let after = write(&*store, [put("/count", "0")]).await;
        let mut early = store.watch("/count", after);
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let store = store.clone();
            writers.spawn(async move {
                for _ in 0..ROUNDS {
                    increment(&*store).await;
                }
            });
        }
        let total = WRITERS * ROUNDS;
        let mut counts = Vec::new();
        // A second watch starts in the middle, from the beginning: it crosses from history to live
        // events.
        let mut late = None;
        while counts.len() < total {
            let batch = tokio::time::timeout(PATIENCE, early.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            counts.push(batch.revision);
            if counts.len() == total / 2 {
                late = Some(store.watch("/count", after));
            }
        }
        writers.join_all().await;
        let wanted: Vec<u64> = (after + 1..=after + total as u64).collect();
        assert_eq!(counts, wanted, "{kind:?}");
        let late: Vec<_> = late
            .unwrap()
            .take(total)
            .map(|batch| batch.unwrap().revision)
            .collect()
            .await;
        assert_eq!(late, wanted, "{kind:?}");
        let end: Arc<dyn Store> = store;
        assert_eq!(
            end.get("/count").await.unwrap().unwrap().value,
            Bytes::from(total.to_string()),
            "{kind:?}"
        );
    }
}
