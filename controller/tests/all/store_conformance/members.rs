//! A cluster of three members that are killed, replaced, stopped, and lose their majority.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foghorn_controller::store::cache::{View, WatchCache};
use foghorn_controller::store::etcd::EtcdStore;
use foghorn_controller::store::{Change, Store, StoreError, Txn, TxnOutcome};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::engine::PATIENCE;
use crate::store_conformance::single_calls::put;

const KEYS: &str = "/foghorn/t/";
/// An election takes up to two seconds here, and the machine is busy.
const FAIL_OVER: Duration = Duration::from_secs(8);

#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl View for Texts {
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let text = String::from_utf8_lossy(&entry.value).into_owned();
                self.0.insert(entry.key.clone(), text);
            }
            Change::Delete { key, .. } => {
                self.0.remove(key);
            }
        }
        Ok(())
    }
}

/// Writes a new key every few milliseconds.
#[derive(Default)]
struct Written {
    acknowledged: Vec<String>,
    /// How long the longest call took that ended without an answer.
    slowest_failure: Duration,
}

async fn keep_writing(
    store: Arc<dyn Store>,
    written: Arc<Mutex<Written>>,
    stop: CancellationToken,
) {
    for n in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let key = format!("{KEYS}{n:06}");
        let txn = Txn {
            compares: Vec::new(),
            ops: vec![put(&key, "x")],
        };
        let start = Instant::now();
        let outcome = store.commit(txn).await;
        {
            let mut written = written.lock().unwrap();
            match outcome {
                Ok(TxnOutcome::Committed(_)) => written.acknowledged.push(key),
                Err(StoreError::Unavailable { .. }) => {
                    written.slowest_failure = written.slowest_failure.max(start.elapsed());
                }
                other => panic!("{other:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Scene {
    cluster: Cluster,
    store: Arc<dyn Store>,
    cache: Arc<WatchCache<Texts>>,
    written: Arc<Mutex<Written>>,
    stop: CancellationToken,
}

impl Scene {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let store = EtcdStore::connect(&cluster.options()).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let stop = CancellationToken::new();
        let start = Instant::now();
        while let Err(error) = store.get(KEYS).await {
            assert!(start.elapsed() < PATIENCE, "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (cache, _task) = WatchCache::start(store.clone(), KEYS, stop.clone())
            .await
            .unwrap();
        let written = Arc::new(Mutex::new(Written::default()));
        tokio::spawn(keep_writing(store.clone(), written.clone(), stop.clone()));
        Self {
            cluster,
            store,
            cache,
            written,
            stop,
        }
    }

    /// Waits until writes succeed and the cache shows them; how long that took.
    async fn goes_on(&self, what: &str) -> Duration {
        let start = Instant::now();
        let before = self.written.lock().unwrap().acknowledged.len();
        self.until(what, || {
            let written = self.written.lock().unwrap();
            let Some(last) = written.acknowledged.get(before + 5) else {
                return false;
            };
            self.cache.read(|texts, _| texts.0.contains_key(last))
        })
        .await;
        start.elapsed()
    }

    async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "{what}: not in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn all_members_serve(&self) {
        let start = Instant::now();
        loop {
            let condition = self.store.condition().await;
            if condition.problem.is_none() {
                assert_eq!(condition.members.len(), 3);
                let leaders = condition.members.iter().filter(|member| member.leads);
                assert_eq!(leaders.count(), 1, "{condition:?}");
                return;
            }
            assert!(start.elapsed() < PATIENCE * 2, "{condition:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_outlives_each_of_its_members_and_says_when_it_has_no_majority() {
    let mut scene = Scene::new().await;
    scene.goes_on("the first writes").await;

    // The one that is used, since it is the first.
    scene.cluster.kill(0);
    let took = scene.goes_on("a member was killed").await;
    eprintln!("a member was killed: writes again after {took:?}");
    assert!(took < FAIL_OVER, "{took:?}");
    let condition = scene.store.condition().await;
    let silent = condition.members.iter().filter(|one| one.problem.is_some());
    assert_eq!(silent.count(), 1, "{condition:?}");
    let problem = condition.problem.unwrap();
    assert!(problem.contains(&scene.cluster.endpoint(0)), "{problem}");
    scene.cluster.replace(0).await;
    scene.all_members_serve().await;
    scene.goes_on("a member was replaced").await;

    // One that is used now is silent, with open connections.
    for stopped in [1, 2] {
        scene.cluster.signal(stopped, "-STOP");
        let took = scene.goes_on("a member is silent").await;
        eprintln!("member {stopped} is silent: writes again after {took:?}");
        assert!(took < FAIL_OVER, "{took:?}");
        scene.cluster.signal(stopped, "-CONT");
        scene.all_members_serve().await;
    }

    for lost in [1, 2] {
        scene.cluster.kill(lost);
    }
    let cache = &scene.cache;
    scene
        .until("the cache is stale", || cache.stale_for().is_some())
        .await;
    let shown = cache.read(|texts, _| texts.0.len());
    assert!(shown > 10, "reads go on");
    let condition = scene.store.condition().await;
    let problem = condition.problem.unwrap();
    assert!(problem.contains("majority"), "{problem}");
    let start = Instant::now();
    let txn = Txn {
        compares: Vec::new(),
        ops: vec![put("/foghorn/t/lost", "x")],
    };
    let refused = scene.store.commit(txn).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "refused after {took:?}");
    for lost in [1, 2] {
        scene.cluster.run(lost);
    }
    let took = scene.goes_on("the majority is back").await;
    eprintln!("the majority is back: writes again after {took:?}");
    scene
        .until("the cache is current", || cache.stale_for().is_none())
        .await;
    scene.all_members_serve().await;
    nothing_is_lost(&scene).await;
}

/// The cache shows what is stored, and all is stored that was acknowledged.
async fn nothing_is_lost(scene: &Scene) {
    scene.stop.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // The cache has stopped too; a new one starts from a snapshot.
    let stop = CancellationToken::new();
    let (fresh, _task) = WatchCache::<Texts>::start(scene.store.clone(), KEYS, stop.clone())
        .await
        .unwrap();
    let stored = fresh.read(|texts, _| texts.0.clone());
    let written = scene.written.lock().unwrap();
    for key in &written.acknowledged {
        assert!(
            stored.contains_key(key),
            "{key} was acknowledged and is lost"
        );
    }
    let shown = scene.cache.read(|texts, _| texts.0.clone());
    for key in shown.keys() {
        assert!(stored.contains_key(key), "{key} is shown and not stored");
    }
    let slowest = written.slowest_failure;
    assert!(slowest < Duration::from_secs(7), "{slowest:?}");
    stop.cancel();
}
