//! The embedded store on disks that are full, fail, and become read-only: it refuses, says why, and
//! goes on by itself. Nothing acknowledged is lost, nothing is stored twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn_controller::store::cache::{View, WatchCache};
use foghorn_controller::store::embedded::EmbeddedStore;
use foghorn_controller::store::etcd::{EtcdOptions, EtcdStore};
use foghorn_controller::store::probe::WriteProbe;
use foghorn_controller::store::{Change, Revision, Store, StoreError, Txn};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::{Etcd, PATIENCE};
use crate::store_conformance::single_calls::put;

const WRITERS: usize = 8;

pub(crate) fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "mounting needs root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: mounting needs root");
    }
    root
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!(
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// A mounted file system, unmounted in the end.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    pub(crate) fn new(folder: PathBuf, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let folder_text = folder.to_str().unwrap();
        run("mount", &[arguments, &[folder_text]].concat()).unwrap();
        Self(folder)
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        use std::io::Write as _;
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

/// ext4 on a loop device, which can be made to fail. Detached in the end.
struct LoopDisk {
    device: String,
    mount: Option<Mount>,
}

impl LoopDisk {
    fn new(folder: &Path) -> Self {
        let image = folder.join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(48 << 20).unwrap();
        let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &device]).unwrap();
        let mount = Mount::new(folder.join("disk"), &[&device]);
        Self {
            device,
            mount: Some(mount),
        }
    }

    fn folder(&self) -> PathBuf {
        self.mount.as_ref().unwrap().0.clone()
    }

    /// As after an error of the device: every access fails until it is mounted anew.
    fn fail(&self) {
        let folder = self.folder();
        run(
            "xfs_io",
            &["-x", "-c", "shutdown", folder.to_str().unwrap()],
        )
        .unwrap();
    }

    /// The store has let go of its file and need not be stopped.
    fn mount_again(&mut self, options: &str) {
        let folder = self.folder();
        let start = std::time::Instant::now();
        while let Err(error) = run("umount", &[folder.to_str().unwrap()]) {
            assert!(start.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(50));
        }
        std::mem::forget(self.mount.take());
        self.mount = Some(Mount::new(folder, &["-o", options, &self.device]));
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        drop(self.mount.take());
        let _ = run("losetup", &["--detach", &self.device]);
    }
}

#[derive(Default)]
struct Keys(BTreeSet<String>);

impl View for Keys {
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => self.0.insert(entry.key.clone()),
            Change::Delete { key, .. } => self.0.remove(key),
        };
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    acknowledged: BTreeMap<Revision, String>,
    refused: BTreeSet<String>,
    texts: BTreeSet<String>,
}

/// Writes, each key once, until it is told to stop.
async fn write_on(
    store: Arc<dyn Store>,
    seen: Arc<Mutex<Seen>>,
    writer: usize,
    stop: CancellationToken,
) {
    for n in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let key = format!("/w/{writer}/{n}");
        let txn = Txn {
            compares: Vec::new(),
            ops: vec![put(&key, &"x".repeat(500))],
        };
        let outcome = store.commit(txn).await;
        let refused = outcome.is_err();
        {
            let mut seen = seen.lock().unwrap();
            match outcome {
                Ok(foghorn_controller::store::TxnOutcome::Committed(revision)) => {
                    let before = seen.acknowledged.insert(revision, key);
                    assert_eq!(before, None, "two changes at revision {revision}");
                }
                Ok(conflict) => panic!("{conflict:?} without compares"),
                Err(StoreError::Unwritable { why, .. }) => {
                    seen.refused.insert(key);
                    seen.texts.insert(why);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        let pause = if refused { 20 } else { 2 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Follows the store as an event stream does, again from where it stood when it ends.
async fn watch_on(store: Arc<dyn Store>, stop: CancellationToken) -> BTreeMap<Revision, String> {
    let (mut found, mut at) = (BTreeMap::new(), 0);
    while !stop.is_cancelled() {
        let mut batches = store.watch("/w/", at);
        while let Some(Some(Ok(batch))) = stop.run_until_cancelled(batches.next()).await {
            assert!(batch.revision > at, "a watch went back");
            at = batch.revision;
            for change in batch.changes {
                found.insert(at, change.key().to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    found
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writers, a watch and a cache on a disk that breaks and is mended. Returns what refused writes
/// were told, and how many of them are in the store all the same.
async fn survive(file: &Path, break_it: impl FnOnce(), mend_it: impl FnOnce()) -> (String, usize) {
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(file).await.unwrap());
    let (stop, seen) = (
        CancellationToken::new(),
        Arc::new(Mutex::new(Seen::default())),
    );
    let (cache, follower) = WatchCache::<Keys>::start(store.clone(), "/w/", stop.clone())
        .await
        .unwrap();
    let watching = tokio::spawn(watch_on(store.clone(), stop.clone()));
    let end_writing = CancellationToken::new();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_on(
            store.clone(),
            seen.clone(),
            writer,
            end_writing.clone(),
        ));
    }
    let probe = WriteProbe::new(store.clone());
    assert_eq!(probe.check().await, Ok(()));
    drop(probe);
    let count = || seen.lock().unwrap().acknowledged.len();
    until("the first writes", || count() > 100).await;
    tokio::task::block_in_place(break_it);
    until("a refusal", || seen.lock().unwrap().refused.len() > WRITERS).await;
    let fresh = WriteProbe::new(store.clone());
    let not_ready = fresh.check().await.expect_err("no write would work");
    assert!(
        not_ready.contains(&file.display().to_string()),
        "{not_ready}"
    );
    assert!(store.condition().await.problem.is_some());
    drop(fresh);

    tokio::task::block_in_place(mend_it);
    let before = count();
    let start = std::time::Instant::now();
    while count() <= before + 100 {
        let condition = store.condition().await;
        assert!(start.elapsed() < PATIENCE, "no writes: {condition:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    end_writing.cancel();
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(WriteProbe::new(store.clone()).check().await, Ok(()));
    assert_eq!(store.condition().await.problem, None);

    let snapshot = store.list("/w/").await.unwrap();
    let listed: BTreeSet<String> = snapshot
        .entries
        .into_iter()
        .map(|entry| entry.key)
        .collect();
    let last = listed.len();
    until("the cache", || cache.read(|keys, _| keys.0.len()) == last).await;
    assert_eq!(cache.read(|keys, _| keys.0.clone()), listed);
    assert!(cache.is_ready());
    let first = cache.revision();
    until("the watch", || cache.revision() >= first).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.cancel();
    let watched = watching.await.unwrap();
    follower.await.unwrap();
    assert_eq!(watched.values().cloned().collect::<BTreeSet<_>>(), listed);
    assert_eq!(watched.len(), listed.len(), "a change was told twice");

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    for (revision, key) in &seen.acknowledged {
        assert_eq!(watched.get(revision), Some(key), "an acknowledged change");
    }
    drop(store);
    // And it is all on the disk.
    let again = crate::engine::open_embedded(file).await;
    let entries = again.list("/w/").await.unwrap().entries;
    assert_eq!(entries.len(), listed.len());
    let texts: Vec<&str> = seen.texts.iter().map(String::as_str).collect();
    (texts.join("\n"), seen.refused.intersection(&listed).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_the_store_goes_on_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let disk = Mount::new(
        dir.path().join("disk"),
        &["-t", "tmpfs", "-o", "size=12m", "tmpfs"],
    );
    let file = disk.0.join("store.redb");
    let (texts, stored) = survive(&file, || disk.fill(), || disk.make_room()).await;
    assert!(texts.contains("is full"), "{texts}");
    assert!(texts.contains("make room"), "{texts}");
    assert_eq!(stored, 0, "a refused change was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_and_then_is_read_only_is_used_again_when_it_is_mended() {
    if !may_mount() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let disk = std::cell::RefCell::new(LoopDisk::new(dir.path()));
    let file = disk.borrow().folder().join("store.redb");
    let texts = survive(
        &file,
        || disk.borrow().fail(),
        || {
            disk.borrow_mut().mount_again("ro");
            // Long enough for the store to try it.
            std::thread::sleep(Duration::from_millis(2500));
            let folder = disk.borrow().folder();
            run("mount", &["-o", "remount,rw", folder.to_str().unwrap()]).unwrap();
        },
    )
    .await
    .0;
    assert!(texts.contains("could not be"), "{texts}");
    assert!(texts.contains("is read-only"), "{texts}");
}

/// An engine of etcd that says no to changes is not ready, although it answers reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_without_room_or_quorum_is_not_ready() {
    let dir = TempDir::new().unwrap();
    let mut etcd = Etcd::start_small(dir.path(), 4 << 20);
    let options = EtcdOptions {
        endpoints: vec![etcd.endpoint()],
        tls: None,
        login: None,
    };
    let store: Arc<dyn Store> = Arc::new(EtcdStore::connect(&options).await.unwrap());
    let ready = || {
        let probe = WriteProbe::new(store.clone());
        async move { probe.check().await }
    };
    let start = std::time::Instant::now();
    while ready().await.is_err() {
        assert!(start.elapsed() < PATIENCE, "etcd does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.condition().await.problem, None);
    let mut refused = None;
    for n in 0..200 {
        let txn = Txn {
            compares: Vec::new(),
            ops: vec![put(&format!("/big/{n}"), &"x".repeat(100_000))],
        };
        if let Err(error) = store.commit(txn).await {
            refused = Some(error.to_string());
            break;
        }
    }
    let refused = refused.expect("etcd never became full");
    assert!(refused.contains("NOSPACE"), "{refused}");
    assert!(ready().await.unwrap_err().contains("NOSPACE"));
    let condition = store.condition().await;
    assert!(condition.problem.unwrap().contains("NOSPACE"));
    assert!(condition.used.unwrap().bytes() > 1 << 20);
    assert!(store.get("/big/0").await.unwrap().is_some(), "reads go on");
    etcd.stop();
    assert!(ready().await.is_err());
    assert!(store.condition().await.problem.is_some());
}
