//! Whether this node lives and whether it is ready, for whoever asks by HTTP: a cluster, a load
//! balancer, a monitor.
//!
//! It lives as long as it answers: a node whose controllers are gone serves the machines that it was
//! told to expect, and must not be ended for that. It is ready when a controller can give it tasks.

mod http;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foghorn_chunk_store::Store;
use foghorn_types::{Timestamp, chain};
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::http::{listen, serve};
use crate::identity::NodeIdentity;

/// A disk that takes longer is not there for clients either.
const DISK_WITHIN: Duration = Duration::from_secs(2);
/// Written into the folder of the store and removed again, to see whether that works.
const PROBE: &str = "writable";

/// What is known of a node that is about to start, or runs.
#[derive(Default)]
pub(crate) struct Health {
    up: OnceLock<Up>,
    /// Held by the look at the disk: where one hangs, the next ones wait for it and no more threads
    /// are lost.
    looking: Arc<Mutex<()>>,
}

/// A node that has started.
pub(crate) struct Up {
    pub identity: watch::Receiver<Arc<NodeIdentity>>,
    pub store: Arc<Store>,
    /// Cancelled when no further clients are taken.
    pub deaf: CancellationToken,
    /// Whether the link to a controller is up.
    pub linked: Arc<AtomicBool>,
}

/// What was found out.
#[derive(Serialize, PartialEq, Eq, Debug)]
struct Ready {
    /// `ok`, `starting` or `not_ready`.
    status: &'static str,
    /// The node has a certificate that is valid.
    joined: bool,
    /// The folder of the chunks is open and can be written.
    store: bool,
    /// Clients are listened for.
    listening: bool,
    /// The link to a controller is up.
    linked: bool,
    /// What is wrong with the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Health {
    /// The node has started.
    pub(crate) fn up(&self, up: Up) {
        // Nobody says it twice: a node starts once.
        let _ = self.up.set(up);
    }

    async fn ready(&self) -> Ready {
        let Some(up) = self.up.get() else {
            return Ready::starting();
        };
        let store = self.look(up.store.clone()).await;
        Ready::of(
            up.identity.borrow().expires > Timestamp::now(),
            store,
            !up.deaf.is_cancelled(),
            up.linked.load(Ordering::Relaxed),
        )
    }

    /// Whether something can be stored, and otherwise why not.
    async fn look(&self, store: Arc<Store>) -> Result<(), String> {
        let looking = self.looking.clone();
        let path = store.path().display().to_string();
        let look = async move {
            let held = looking.lock_owned().await;
            let looked = tokio::task::spawn_blocking(move || {
                let _held = held;
                store.heal().map_err(|error| chain(&error).to_string())?;
                let folder = store.path();
                write_and_remove(folder)
                    .map_err(|error| format!("could not write in {}: {error}", folder.display()))
            });
            looked
                .await
                .unwrap_or_else(|error| Err(format!("could not look at the disk: {error}")))
        };
        timeout(DISK_WITHIN, look).await.unwrap_or_else(|_| {
            let seconds = DISK_WITHIN.as_secs();
            Err(format!(
                "the disk of {path} has not answered for {seconds} seconds"
            ))
        })
    }
}

impl Ready {
    fn starting() -> Self {
        Self {
            status: "starting",
            joined: false,
            store: false,
            listening: false,
            linked: false,
            problem: None,
        }
    }

    fn of(joined: bool, store: Result<(), String>, listening: bool, linked: bool) -> Self {
        let is_ready = joined && store.is_ok() && listening && linked;
        Self {
            status: if is_ready { "ok" } else { "not_ready" },
            joined,
            store: store.is_ok(),
            listening,
            linked,
            problem: store.err(),
        }
    }

    fn is_ready(&self) -> bool {
        self.status == "ok"
    }
}

/// It is not synced: that would disturb captures, and a file system that failed says so at once.
fn write_and_remove(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE);
    let written = File::create(&path)?.write_all(b"1");
    written.and(fs::remove_file(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_nothing_is_missing() {
        let all = Ready::of(true, Ok(()), true, true);
        assert!(all.is_ready() && all.problem.is_none(), "{all:?}");
        for (missing, ready) in [
            ("a certificate", Ready::of(false, Ok(()), true, true)),
            ("a listener", Ready::of(true, Ok(()), false, true)),
            ("a controller", Ready::of(true, Ok(()), true, false)),
            ("a disk", Ready::of(true, Err("full".into()), true, true)),
            ("everything", Ready::starting()),
        ] {
            assert!(!ready.is_ready(), "ready without {missing}");
        }
        let full = Ready::of(true, Err("full".into()), true, true);
        assert_eq!((full.store, full.problem.as_deref()), (false, Some("full")));
    }

    #[test]
    fn a_folder_that_can_be_written_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        write_and_remove(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let gone = folder.path().join("gone");
        let error = write_and_remove(&gone).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
