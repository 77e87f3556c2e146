//! A process killed in the middle of putting loses nothing that it acknowledged, and a full disk
//! hurts nobody.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::world::{chunk, chunks, image, manifest, small_packs};
use foghorn_chunk_store::{OpenStoreError, Options, Store};
use foghorn_types::ByteCount;

const CHILD_DIR: &str = "FOGHORN_CHUNK_STORE_CRASH_DIR";
const CHILD_FROM: &str = "FOGHORN_CHUNK_STORE_CRASH_FROM";

/// Kills its process when the test ends in any way.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of its own: what the child of the next test does. Says each seed that was
/// acknowledged.
#[test]
fn child_that_puts_until_it_is_killed() {
    let (Ok(dir), Ok(from)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_FROM)) else {
        return;
    };
    let store = Store::open(dir, small_packs()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    for seed in (from.parse::<u32>().unwrap()..)
        .step_by(3)
        .take_while(|_| Instant::now() < until)
    {
        store.put_batch(&chunks(seed..seed + 3)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {seed}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = 0;
    for round in 0..4 {
        let mut child = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "crash::child_that_puts_until_it_is_killed",
                    "--exact",
                    "--nocapture",
                ])
                .env(CHILD_DIR, dir.path())
                .env(CHILD_FROM, next.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let output = BufReader::new(child.0.stdout.take().unwrap());
        let mut acknowledged = output.lines().map_while(Result::ok).filter_map(|line| {
            // The test harness may write on the same line before us.
            line.split_once("acknowledged ")
                .and_then(|(_, seed)| seed.trim().parse::<u32>().ok())
        });
        for _ in 0..10 + round * 7 {
            next = acknowledged
                .next()
                .expect("the child puts until it is killed")
                + 3;
        }
        child.0.kill().unwrap();
        // Whatever it said before the kill took effect counts, too.
        next = acknowledged.last().map_or(next, |seed| seed + 3);
        drop(child);

        if round == 1 {
            tear(dir.path());
        }
        let store = Store::open(dir.path(), small_packs()).unwrap();
        for seed in 0..next {
            assert!(
                store.read(chunk(seed).id).is_ok(),
                "chunk {seed} of {next} was lost in round {round}"
            );
        }
    }
}

/// Half a record at the end of the last pack, as a loss of power leaves it.
fn tear(dir: &Path) {
    let last = std::fs::read_dir(dir.join("packs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max()
        .unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(last).unwrap();
    file.write_all(b"FHCK\x01\0\0\0 and then the power went")
        .unwrap();
}

/// A small file system of its own, unmounted in the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where we may not mount.
    fn mount(path: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// A process that another test is starting may hold the lock of a closed store for a moment.
pub(crate) fn open_again(path: &Path, options: Options, when: &str) -> Store {
    let start = Instant::now();
    loop {
        match Store::open(path, options) {
            Err(OpenStoreError::InUse { .. }) if start.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap_or_else(|error| panic!("{when}: {error:?}")),
        }
    }
}

#[test]
fn a_full_disk_is_said_clearly_and_the_store_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(dir.path()) else {
        eprintln!(
            "skipped: mounting needs root; the refusal before the disk is full is tested in store.rs"
        );
        return;
    };
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    for keep_free in [ByteCount::ZERO, ByteCount::from_mib(1)] {
        let options = Options {
            keep_free,
            ..small_packs()
        };
        let mut stored = 0;
        let store = open_again(dir.path(), options, "again");
        let error = loop {
            match store.put_batch(&chunks(stored..stored + 4)) {
                Ok(_) => stored += 4,
                Err(error) => break error,
            }
            assert!(stored < 1000, "the disk never became full");
        };
        assert!(error.is_full(), "{error:?}");
        assert!(
            (0..stored).all(|seed| store.read(chunk(seed).id).is_ok()),
            "an acknowledged chunk was lost"
        );

        std::fs::remove_file(&ballast).unwrap();
        store
            .put_batch(&chunks(stored..stored + 4))
            .expect("there is room again");
        assert!((0..stored + 4).all(|seed| store.read(chunk(seed).id).is_ok()));
        drop(store);
        let store = open_again(dir.path(), options, "again");
        assert!(
            (0..stored + 4).all(|seed| store.read(chunk(seed).id).is_ok()),
            "lost by the restart"
        );
        drop(store);
        for part in ["packs", "manifests", "images"] {
            std::fs::remove_dir_all(dir.path().join(part)).unwrap();
        }
        std::fs::remove_file(dir.path().join("index.redb")).unwrap();
        std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    }
}

/// On a disk that is full of what nothing needs, a capture goes on: what failed captures left
/// behind goes first, although it is new.
#[test]
fn a_full_disk_gives_room_from_captures_that_failed_or_were_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(dir.path()) else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let options = Options {
        keep_free: ByteCount::from_mib(1),
        ..small_packs()
    };
    let store = Arc::new(Store::open(dir.path(), options).unwrap());
    let kept = chunks(0..10);
    store.put_batch(&kept).unwrap();
    store.put_manifest(image(1), &manifest(&kept)).unwrap();
    let replaced = chunks(10..20);
    store.put_batch(&replaced).unwrap();
    store.put_manifest(image(2), &manifest(&replaced)).unwrap();
    store.put_manifest(image(2), &manifest(&kept)).unwrap();
    // A capture that fails before it has a manifest, when the disk is full.
    let failed = store.capture_guard();
    let mut next = 100;
    while failed.put_batch(&chunks(next..next + 4)).is_ok() {
        next += 4;
        assert!(next < 1000, "the disk never became full");
    }
    drop(failed);
    let capture = store.capture_guard();
    let new = chunks(2000..2020);
    capture
        .put_batch(&new)
        .expect("the disk is full of what nothing needs");
    for needed in kept.iter().chain(&new) {
        assert!(store.read(needed.id).is_ok(), "a needed chunk was removed");
    }
    assert!(store.read(chunk(101).id).is_err(), "nothing was removed");
    store.put_manifest(image(3), &manifest(&new)).unwrap();
    // A sweep on order takes what a capture has just left behind, also from the open pack.
    drop(capture);
    store.sweep(Duration::ZERO).unwrap();
    let before = store.stats().unwrap();
    store.put_batch(&chunks(3000..3006)).unwrap();
    let report = store.sweep(Duration::ZERO).unwrap();
    assert_eq!(report.removed_chunks, 6, "{report:?}");
    assert!(report.freed.bytes() > 0, "{report:?}");
    assert_eq!(store.stats().unwrap().chunks, before.chunks);
}
