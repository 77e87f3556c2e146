//! The watch cache on real engines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foghorn_controller::store::cache::{View, WatchCache};
use foghorn_controller::store::{Change, Revision, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, Kind, PATIENCE};
use crate::store_conformance::single_calls::{delete, put, write};

/// Values as text, by key.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl View for Texts {
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let text =
                    String::from_utf8(entry.value.to_vec()).map_err(|error| error.to_string())?;
                self.0.insert(entry.key.clone(), text);
            }
            Change::Delete { key, .. } => {
                self.0.remove(key);
            }
        }
        Ok(())
    }
}

type Cache = Arc<WatchCache<Texts>>;

async fn follow(store: Arc<dyn Store>) -> (Cache, tokio::task::JoinHandle<()>, CancellationToken) {
    let cancel = CancellationToken::new();
    let (cache, task) = WatchCache::<Texts>::start(store, "/c/", cancel.clone())
        .await
        .unwrap();
    (cache, task, cancel)
}

async fn reach(cache: &Cache, revision: Revision) {
    cache
        .wait_for(revision, Instant::now() + PATIENCE)
        .await
        .unwrap();
}

fn text(cache: &Cache, key: &str) -> Option<String> {
    cache.read(|texts, _| texts.0.get(key).cloned())
}

#[tokio::test]
async fn whoever_has_written_reads_it() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = engine.store();
        write(&*store, [put("/c/before", "there")]).await;
        let (cache, task, cancel) = follow(store.clone()).await;
        assert_eq!(text(&cache, "/c/before").as_deref(), Some("there"));
        assert!(cache.is_ready());
        let mut changed = cache.changed();
        for n in 0..50 {
            let revision = write(&*store, [put("/c/n", &n.to_string())]).await;
            reach(&cache, revision).await;
            assert_eq!(text(&cache, "/c/n"), Some(n.to_string()), "{kind:?}");
        }
        assert!(changed.has_changed().unwrap());
        assert_eq!(*changed.borrow_and_update(), cache.revision());
        let revision = write(&*store, [delete("/c/n"), put("/elsewhere", "x")]).await;
        reach(&cache, revision).await;
        assert_eq!(text(&cache, "/c/n"), None);
        let behind = cache
            .wait_for(revision + 1, Instant::now() + Duration::from_millis(20))
            .await
            .unwrap_err();
        assert_eq!(
            (behind.wanted, behind.reached),
            (revision + 1, revision),
            "{kind:?}"
        );
        cancel.cancel();
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_reader_ever_sees_half_a_transaction() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let store = engine.store();
        let (cache, _task, cancel) = follow(store.clone()).await;
        let done = Arc::new(AtomicBool::new(false));
        let reader = {
            let (cache, done) = (cache.clone(), done.clone());
            std::thread::spawn(move || {
                let mut looks = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let pair = cache.read(|texts, _| {
                        [
                            texts.0.get("/c/left").cloned(),
                            texts.0.get("/c/right").cloned(),
                        ]
                    });
                    assert_eq!(pair[0], pair[1]);
                    looks += 1;
                }
                looks
            })
        };
        for n in 0..200 {
            let n = n.to_string();
            let revision = write(&*store, [put("/c/left", &n), put("/c/right", &n)]).await;
            reach(&cache, revision).await;
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0, "{kind:?}");
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_skipped_and_the_rest_is_shown() {
    let engine = Engine::start(Kind::Embedded).await;
    let store = engine.store();
    let (cache, _task, cancel) = follow(store.clone()).await;
    let bad = foghorn_controller::store::Op::Put {
        key: "/c/bad".into(),
        value: vec![0xff].into(),
    };
    let revision = write(&*store, [bad, put("/c/good", "x")]).await;
    reach(&cache, revision).await;
    assert_eq!(
        (text(&cache, "/c/bad"), text(&cache, "/c/good").as_deref()),
        (None, Some("x"))
    );
    cancel.cancel();
}

/// The cache lives on a runtime of its own that is not driven while history is compacted away under
/// it.
#[test]
fn a_cache_that_was_overtaken_by_compaction_loads_afresh() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    for kind in BOTH {
        let (caches, writers) = (runtime(), runtime());
        let mut engine = writers.block_on(Engine::start(kind));
        let store = engine.store();
        // The engine's connections belong to the runtime of the writers, which the cache's client
        // must not need.
        let for_cache: Arc<dyn Store> = match kind {
            Kind::Embedded => store.clone(),
            Kind::Etcd => caches.block_on(engine.another_client()),
        };
        writers.block_on(write(&*store, [put("/c/old", "1"), put("/c/gone", "1")]));
        let (cache, _task, cancel) = caches.block_on(follow(for_cache));
        let last = writers.block_on(async {
            if kind == Kind::Etcd {
                engine.restart().await; // Otherwise etcd has already sent what happens next.
            }
            write(&*store, [delete("/c/gone")]).await;
            let last = write(&*store, [put("/c/new", "2")]).await;
            store.compact(last).await.unwrap();
            last
        });
        assert_eq!(
            text(&cache, "/c/gone").as_deref(),
            Some("1"),
            "{kind:?}: it stands still"
        );
        caches.block_on(reach(&cache, last));
        cache.read(|texts, revision| {
            assert_eq!(revision, last, "{kind:?}");
            let keys: Vec<_> = texts.0.keys().map(String::as_str).collect();
            assert_eq!(
                keys,
                ["/c/new", "/c/old"],
                "{kind:?}: what was deleted meanwhile is gone"
            );
        });
        // And it follows on from there.
        let next = writers.block_on(write(&*store, [put("/c/new", "3")]));
        caches.block_on(reach(&cache, next));
        assert_eq!(text(&cache, "/c/new").as_deref(), Some("3"), "{kind:?}");
        cancel.cancel();
    }
}

#[tokio::test]
async fn while_the_engine_is_down_reads_go_on_and_say_that_they_are_stale() {
    let mut engine = Engine::start(Kind::Etcd).await;
    let store = engine.store();
    let (cache, _task, cancel) = follow(store.clone()).await;
    let revision = write(&*store, [put("/c/k", "1")]).await;
    reach(&cache, revision).await;
    engine.stop_etcd();
    let start = Instant::now();
    while cache.is_ready() {
        assert!(start.elapsed() < PATIENCE, "it never said so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(text(&cache, "/c/k").as_deref(), Some("1"));
    engine.start_etcd().await;
    let revision = write(&*store, [put("/c/k", "2")]).await;
    reach(&cache, revision).await;
    assert_eq!(text(&cache, "/c/k").as_deref(), Some("2"));
    assert!(cache.is_ready());
    cancel.cancel();
}

/// Fails as no view should.
#[derive(Default)]
struct Panics;

impl View for Panics {
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        assert!(
            change.key() != "/c/bad",
            "this view cannot bear {}",
            change.key()
        );
        Ok(())
    }
}

#[tokio::test]
async fn a_cache_whose_view_panics_is_not_ready() {
    let engine = Engine::start(Kind::Embedded).await;
    let store = engine.store();
    let cancel = CancellationToken::new();
    let (cache, task) = WatchCache::<Panics>::start(store.clone(), "/c/", cancel)
        .await
        .unwrap();
    assert!(cache.is_ready());
    write(&*store, [put("/c/bad", "x")]).await;
    assert!(task.await.unwrap_err().is_panic());
    assert!(!cache.is_ready());
}
