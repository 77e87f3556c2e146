//! A process that is killed while it writes to the embedded store loses nothing that was
//! acknowledged.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use foghorn_controller::store::Store;
use foghorn_controller::store::embedded::EmbeddedStore;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::store_conformance::single_calls::{put, write};

const FILE: &str = "FOGHORN_TEST_CRASH_FILE";
const ROUND: &str = "FOGHORN_TEST_CRASH_ROUND";
const WRITERS: usize = 16;
const ACKNOWLEDGED: usize = 300;

/// Not a test: the process that [`nothing_acknowledged_is_lost`] kills. Without its variables it
/// does nothing.
#[test]
fn writes_until_it_is_killed() {
    let (Some(file), Ok(round)) = (std::env::var_os(FILE), std::env::var(ROUND)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(&PathBuf::from(file)).await.unwrap());
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, round) = (store.clone(), round.clone());
            writers.spawn(async move {
                for n in 0_u64.. {
                    let name = format!("{round}-{writer}-{n}");
                    // Two keys: after the crash they are both there or both not.
                    write(
                        &*store,
                        [
                            put(&format!("/a/{name}"), &name),
                            put(&format!("/b/{name}"), &name),
                        ],
                    )
                    .await;
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {name}.")
                        .and_then(|()| out.flush())
                        .unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("store.redb");
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let (file, known) = (file.clone(), acknowledged.len());
        acknowledged.extend(
            tokio::task::spawn_blocking(move || write_and_kill(&file, round))
                .await
                .unwrap(),
        );
        assert!(acknowledged.len() >= known + ACKNOWLEDGED);
        let store = EmbeddedStore::open(&dir.path().join("store.redb"))
            .await
            .unwrap();
        let names = |entries: Vec<foghorn_controller::store::Entry>| -> BTreeSet<String> {
            entries
                .into_iter()
                .map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
                .collect()
        };
        let (a, b) = (
            store.list("/a/").await.unwrap(),
            store.list("/b/").await.unwrap(),
        );
        assert_eq!(
            a.revision,
            a.entries.len() as u64,
            "every transaction has its own revision"
        );
        let (a, b) = (names(a.entries), names(b.entries));
        assert_eq!(a, b, "half a transaction was kept");
        let lost: Vec<_> = acknowledged.difference(&a).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}

/// Starts the writing process, kills it in mid-write, and gives the names that it said were safe.
fn write_and_kill(file: &std::path::Path, round: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store_conformance::crash::writes_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FILE, file)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        // Without its end mark a line was cut by the kill, and its name with it.
        if let Some((_, name)) = line.split_once("acknowledged ")
            && let Some(name) = name.strip_suffix('.')
        {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() >= ACKNOWLEDGED && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success());
    acknowledged
}
