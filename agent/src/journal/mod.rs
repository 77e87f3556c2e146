//! What the node was told to do and has not been relieved of, on disk: a site that has lost its
//! controllers goes on after a restart, serves the clients that it was told to expect, and tells
//! the controllers later how each session ended.
//!
//! Everything is written by one thread, so that no transfer waits for a disk that is slow. What is
//! told to a client as kept is [`Journal::settled`] first.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_proto::link::{OpenSession, SessionEnded};
use foghorn_types::{TaskId, chain};
use tokio::sync::watch;
use tracing::{error, warn};

pub(crate) use self::file::Kept;

/// Shared by whoever orders and ends sessions.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    dirty: Sender<TaskId>,
    written: watch::Receiver<u64>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<TaskId, Kept>,
    /// Changes so far.
    changes: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a journal was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenJournalError {
    #[error("could not read the sessions in {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not start the thread that writes sessions down")]
    Thread(#[source] io::Error),
}

impl Journal {
    /// Reads what an earlier process has left. A file that cannot be understood is left where it is:
    /// the controllers know of its session, too.
    ///
    /// # Errors
    /// See [`OpenJournalError`].
    pub(crate) fn open(state_dir: &Path) -> Result<Self, OpenJournalError> {
        let found = file::load(state_dir).map_err(|source| OpenJournalError::Read {
            path: state_dir.to_owned(),
            source,
        })?;
        let shared = Arc::new(Shared::default());
        for file::Found { path, task, kept } in found {
            match kept {
                Ok(kept) => drop(shared.lock().kept.insert(task, kept)),
                Err(problem) => warn!(path = %path.display(), error = %chain(&problem),
                    "the note of a session cannot be used; the controllers order it again"),
            }
        }
        let (dirty, changed) = channel();
        let (done, written) = watch::channel(0);
        let writer = Writer {
            state_dir: state_dir.to_owned(),
            shared: shared.clone(),
            done,
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&changed))
            .map_err(OpenJournalError::Thread)?;
        Ok(Self {
            shared,
            dirty,
            written,
        })
    }

    /// Everything that is kept.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.shared.lock().kept.values().cloned().collect()
    }

    /// A session is ordered, or ordered anew.
    pub(crate) fn opened(&self, task: TaskId, order: &OpenSession) {
        self.change(task, |kept| {
            let mut order = order.clone();
            let before = kept.as_ref().and_then(|kept| kept.order.as_ref());
            // An order without a client keeps the one that was admitted.
            if let Some(before) = before.filter(|before| before.incarnation == order.incarnation)
                && order.client_fingerprint.is_empty()
            {
                order.client_fingerprint = before.client_fingerprint.clone();
            }
            *kept = Some(Kept {
                order: Some(order),
                ended: None,
            });
        });
    }

    pub(crate) fn admitted(&self, task: TaskId, fingerprint: &[u8]) {
        self.change(task, |kept| {
            if let Some(order) = kept.as_mut().and_then(|kept| kept.order.as_mut()) {
                order.client_fingerprint = fingerprint.to_vec();
            }
        });
    }

    pub(crate) fn ended(&self, task: TaskId, ended: &SessionEnded) {
        self.change(task, |kept| {
            kept.get_or_insert_default().ended = Some(ended.clone());
        });
    }

    /// The controller has recorded its end, or wants it no longer.
    pub(crate) fn forget(&self, task: TaskId) {
        self.change(task, |kept| *kept = None);
    }

    fn change(&self, task: TaskId, change: impl FnOnce(&mut Option<Kept>)) {
        let mut state = self.shared.lock();
        let before = state.kept.remove(&task);
        let mut after = before.clone();
        change(&mut after);
        let is_news = after != before;
        if let Some(after) = after {
            state.kept.insert(task, after);
        }
        if is_news {
            state.changes += 1;
            // Fails when the thread has panicked; then nothing is settled any more either.
            let _ = self.dirty.send(task);
        }
    }

    /// Waits until all changes so far are on the disk, or could not be written. Cancel-safe.
    pub(crate) async fn settled(&self) {
        let wanted = self.shared.lock().changes;
        let _ = self.written.clone().wait_for(|done| *done >= wanted).await;
    }
}

struct Writer {
    state_dir: PathBuf,
    shared: Arc<Shared>,
    done: watch::Sender<u64>,
}

impl Writer {
    /// Until the journal is dropped.
    fn run(self, changed: &Receiver<TaskId>) {
        while let Ok(first) = changed.recv() {
            // Before the messages are taken: each of these changes has sent its own already.
            let changes = self.shared.lock().changes;
            let tasks: BTreeSet<TaskId> =
                std::iter::once(first).chain(changed.try_iter()).collect();
            for task in tasks {
                let kept = self.shared.lock().kept.get(&task).cloned();
                let result =
                    foghorn_faults::fail!("agent.journal.before-write").and_then(
                        |()| match &kept {
                            Some(kept) => file::save(&self.state_dir, task, kept),
                            None => file::remove(&self.state_dir, task),
                        },
                    );
                foghorn_faults::point!("agent.journal.written");
                if let Err(problem) = result {
                    error!(%task, error = %chain(&problem),
                        "could not write a session down: it would be lost if this program ended \
                         before it is linked to a controller");
                }
            }
            self.done.send_replace(changes);
        }
    }
}
