//! Generated histories: both engines get the same calls and have to give the same answers.
//!
//! The two engines live through all cases: what one case leaves behind (revisions, compaction) is
//! the ground on which the next one stands. So revisions are compared relative to the start of the
//! case.

use std::fmt::Write as _;

use foghorn_controller::store::{
    Change, Compare, Entry, Op, Revision, Store, StoreError, Txn, TxnOutcome, WatchBatch,
    WatchError,
};
use futures_util::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::sync::Mutex;

use crate::engine::{Engine, Kind, PATIENCE};
use crate::store_conformance::single_calls::{put, write};

const KEYS: [&str; 6] = ["/h/a/1", "/h/a/2", "/h/a/20", "/h/b/1", "/h/b/é", "/i/1"];
const PREFIXES: [&str; 5] = ["", "/h/", "/h/a/2", "/i/", "/none"];
/// Written before a watch is read, so that its end is known without waiting for nothing to come.
const MARK: &str = "~mark";

#[derive(Clone, Debug)]
enum Step {
    Commit {
        compares: Vec<(usize, Relation)>,
        ops: Vec<(usize, Write)>,
    },
    Get(usize),
    List(usize),
    /// Watches from some revisions ago.
    Watch {
        prefix: usize,
        back: u64,
    },
    Compact {
        back: u64,
    },
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Absent,
    Present,
    /// Modified when it was, or one off.
    Modified {
        off: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Write {
    Put { value: u8 },
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let relation = prop_oneof![
        2 => Just(Relation::Absent),
        2 => Just(Relation::Present),
        4 => (0_u64..5).prop_map(|off| Relation::Modified { off: off.saturating_sub(3) }),
    ];
    let change = prop_oneof![
        3 => any::<u8>().prop_map(|value| Write::Put { value }),
        2 => Just(Write::Delete),
    ];
    let key = 0..KEYS.len();
    let commit = (
        vec((key.clone(), relation), 0..3),
        vec((key.clone(), change), 0..4),
    )
        .prop_map(|(compares, ops)| Step::Commit { compares, ops });
    let step = prop_oneof![
        60 => commit,
        8 => key.prop_map(Step::Get),
        8 => (0..PREFIXES.len()).prop_map(Step::List),
        10 => (0..PREFIXES.len(), 0_u64..25).prop_map(|(prefix, back)| Step::Watch { prefix,
            back }),
        4 => (0_u64..12).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Restart),
    ];
    vec(step, 10..50)
}

/// One engine in one case.
struct Player<'e> {
    engine: &'e mut Engine,
    base: Revision,
}

impl<'e> Player<'e> {
    async fn begin(engine: &'e mut Engine) -> Self {
        let store = engine.store();
        for key in KEYS {
            write(
                &*store,
                [crate::store_conformance::single_calls::delete(key)],
            )
            .await;
        }
        let base = write(&*store, [put(MARK, "begin")]).await;
        Self { engine, base }
    }

    /// Takes a step and puts the answer into words.
    async fn play(&mut self, step: &Step) -> String {
        let store = self.engine.store();
        match step {
            Step::Commit { compares, ops } => {
                let txn = self.txn(&*store, compares, ops).await;
                match store.commit(txn).await {
                    Ok(TxnOutcome::Committed(revision)) => {
                        format!("committed at {}", self.relative(revision))
                    }
                    Ok(TxnOutcome::Conflict) => "conflict".to_owned(),
                    Err(error) => Self::refusal(&error),
                }
            }
            Step::Get(key) => self.tell_all(store.get(KEYS[*key]).await.unwrap().as_slice()),
            Step::List(prefix) => {
                let all = store.list(PREFIXES[*prefix]).await.unwrap();
                format!(
                    "at {}: {}",
                    self.relative(all.revision),
                    self.tell_all(&all.entries)
                )
            }
            Step::Watch { prefix, back } => self.watch(&*store, PREFIXES[*prefix], *back).await,
            Step::Compact { back } => {
                let now = store.list("/none").await.unwrap().revision;
                format!(
                    "{:?}",
                    store
                        .compact(now.saturating_sub(*back))
                        .await
                        .map_err(|error| Self::refusal(&error))
                )
            }
            Step::Restart => {
                drop(store);
                self.engine.restart().await;
                "restarted".to_owned()
            }
        }
    }

    async fn txn(
        &self,
        store: &dyn Store,
        compares: &[(usize, Relation)],
        ops: &[(usize, Write)],
    ) -> Txn {
        let mut txn = Txn::default();
        for (key, relation) in compares {
            let key = KEYS[*key].to_owned();
            txn.compares.push(match relation {
                Relation::Absent => Compare::Absent(key),
                Relation::Present => Compare::Present(key),
                Relation::Modified { off } => {
                    let modified = store
                        .get(&key)
                        .await
                        .unwrap()
                        .map_or(self.base, |entry| entry.modified);
                    Compare::ModifiedAt(key, modified + off)
                }
            });
        }
        for (key, change) in ops {
            let key = KEYS[*key].to_owned();
            txn.ops.push(match change {
                Write::Put { value } => Op::Put {
                    key,
                    value: vec![*value].into(),
                },
                Write::Delete => Op::Delete { key },
            });
        }
        txn
    }

    async fn watch(&self, store: &dyn Store, prefix: &str, back: u64) -> String {
        let last = write(store, [put(&format!("{prefix}{MARK}"), "watch")]).await;
        let mut watch = store.watch(prefix, last.saturating_sub(back + 1));
        let mut told = String::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .expect("a watch fell silent");
            match next.expect("a watch ended without a reason") {
                Ok(WatchBatch { revision, changes }) => {
                    write!(
                        told,
                        "{}: {}; ",
                        self.relative(revision),
                        self.tell_changes(&changes)
                    )
                    .unwrap();
                    assert!(!changes.is_empty());
                    if revision == last {
                        return told;
                    }
                }
                Err(WatchError::Compacted { compacted }) => {
                    return format!("{told} compacted at {}", self.relative(compacted));
                }
                Err(WatchError::Store(error)) => panic!("{error:?}"),
            }
        }
    }

    /// Revisions from before the case are told as such: `begin` leaves keys of earlier marks
    /// behind.
    fn relative(&self, revision: Revision) -> i64 {
        i64::try_from(revision).unwrap() - i64::try_from(self.base).unwrap()
    }

    fn tell_all(&self, entries: &[Entry]) -> String {
        entries
            .iter()
            .map(|entry| self.tell(entry) + ", ")
            .collect()
    }

    fn tell(
        &self,
        Entry {
            key,
            value,
            created,
            modified,
        }: &Entry,
    ) -> String {
        let (created, modified) = (self.relative(*created), self.relative(*modified));
        format!("{key}={value:?} created {created} modified {modified}")
    }

    fn tell_changes(&self, changes: &[Change]) -> String {
        let tell = |change: &Change| match change {
            Change::Put(entry) => format!("put {}, ", self.tell(entry)),
            Change::Delete { key, revision } => {
                format!("delete {key} at {}, ", self.relative(*revision))
            }
        };
        changes.iter().map(tell).collect()
    }

    /// The kind of a refusal; its words may differ.
    fn refusal(error: &StoreError) -> String {
        match error {
            StoreError::Invalid { .. } => "invalid".to_owned(),
            StoreError::Unavailable { .. } | StoreError::Unwritable { .. } => panic!("{error:?}"),
        }
    }
}

#[test]
fn both_engines_give_the_same_answers_to_any_history() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let engines = runtime.block_on(async {
        let (ours, etcd) = tokio::join!(Engine::start(Kind::Embedded), Engine::start(Kind::Etcd));
        Mutex::new((ours, etcd))
    });
    let config = Config {
        cases: 40,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut engines = engines.lock().await;
            let (embedded, etcd) = &mut *engines;
            let (mut embedded, mut etcd) =
                (Player::begin(embedded).await, Player::begin(etcd).await);
            for step in &steps {
                let (ours, theirs) = (embedded.play(step).await, etcd.play(step).await);
                prop_assert_eq!(ours, theirs, "embedded and etcd differ after {:?}", step);
            }
            Ok(())
        })
    });
    let engines = engines.into_inner();
    runtime.block_on(async { drop(engines) });
    outcome.unwrap();
}
