//! The embedded engine: one redb file, one process, no server.
//!
//! One thread does all writing. It takes every transaction that waits into one redb transaction,
//! each at its own revision, so that they share one flush to disk (`writer`). Readers use redb's
//! own snapshots and never wait for the writer. A watch reads the history table from where it
//! stands, whenever the committed revision has moved: nothing is queued for a slow watcher, and
//! there is no border between old and live events where one could be lost or doubled.
//!
//! After a failed write, read or panic of redb the writer opens the file again (a copy of it, see
//! `file`), once a second until it can. Until then every call says what is wrong. A group of transactions that failed
//! is looked for in the file that was opened again: its callers learn whether it was stored.

mod backup;
mod file;
mod pages;
mod tables;
mod transaction;
mod watch;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;

use foghorn_types::ByteCount;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use redb::Database;
use tokio::sync::{Semaphore, oneshot};

pub use self::file::check_copy;
pub use self::tables::Checked;
use super::check::check_txn;
use super::{
    Condition, CopyError, Entry, Revision, Snapshot, Store, StoreError, Txn, TxnOutcome,
    WatchBatch, WatchError,
};
use file::{Space, Trouble};
use writer::{Command, Reply, Writer};

/// What a copy does, in the words of an error.
const COPY: &str = "copy the store";
/// Calls that may wait for the writer at once; more wait for a place.
const WAITING_CALLS: usize = 4096;

/// The embedded engine. Dropping it waits for what has been handed to the writer, and ends all
/// watches.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    copying: Arc<Copying>,
    places: Semaphore,
    /// `None` only while dropping.
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
}

/// What readers need. Watches hold it weakly where they wait, so that the file is released with the
/// store.
struct Shared {
    path: PathBuf,
    file: RwLock<Result<Database, Trouble>>,
    /// A read has failed: the writer must open the file again.
    suspect: AtomicBool,
    /// The last durable revision. Closed when the writer has ended.
    committed: tokio::sync::watch::Receiver<Revision>,
}

/// Lets the file be released with the store while it is being copied.
#[derive(Default)]
struct Copying {
    /// Held by the one that copies; it has the file open.
    alone: Mutex<()>,
    /// Read by those that hand it out page by page.
    paging: RwLock<()>,
    /// The store is being dropped: nobody begins any more, and the one that copies ends.
    is_over: AtomicBool,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenEmbeddedError {
    #[error("{path} is in use by another process: only one controller at a time can have an embedded store", path = path.display())]
    InUse { path: PathBuf },
    #[error("could not open {path} as a store", path = path.display())]
    Open {
        path: PathBuf,
        source: Box<redb::Error>,
    },
    #[error("{path} was written by a newer version (format {found}, this version supports {known})", path = path.display(), known = tables::FORMAT)]
    Format { path: PathBuf, found: u64 },
    #[error("could not create the directory of {path}", path = path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is damaged ({what}): restore a backup, see docs/operations/backup.md", path = path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("could not start the writer thread")]
    Thread { source: std::io::Error },
}

impl EmbeddedStore {
    /// Opens the file at `path`, or makes it and its folder.
    ///
    /// # Errors
    /// When another process has it open, or it is no store of ours.
    pub async fn open(path: &Path) -> Result<Self, OpenEmbeddedError> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(&path));
        opening.await.expect(
            "opening does not panic, and the runtime is not shutting down while we wait on it",
        )
    }

    fn open_blocking(path: &Path) -> Result<Self, OpenEmbeddedError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| OpenEmbeddedError::Folder {
                path: path.to_owned(),
                source,
            })?;
        }
        let (db, start) = file::open(path)?;
        let (announce, committed) = tokio::sync::watch::channel(start.revision);
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            file: RwLock::new(Ok(db)),
            suspect: AtomicBool::new(false),
            committed,
        });
        let (commands, inbox) = mpsc::channel();
        let writer = Writer::new(shared.clone(), announce);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| OpenEmbeddedError::Thread { source })?;
        Ok(Self {
            shared,
            copying: Arc::default(),
            places: Semaphore::new(WAITING_CALLS),
            commands: Some(commands),
            writer: Some(writer),
        })
    }

    /// Hands a command to the writer and waits for its answer. When the caller stops waiting, the
    /// command still runs.
    async fn ask<T>(
        &self,
        doing: &'static str,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable {
            doing,
            source: "the store's writer has failed, see its log".into(),
        };
        let _place = self.places.acquire().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or_else(gone)?;
        commands.send(command(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// A failure to write the copy says nothing about the store: it is not suspected for it.
    async fn copy(&self, to: PathBuf) -> Result<Revision, CopyError> {
        let (copying, shared) = (self.copying.clone(), Arc::downgrade(&self.shared));
        let done = tokio::task::spawn_blocking(move || {
            let _alone = copying.alone.lock();
            if copying.is_over.load(Ordering::Acquire) {
                return Ok(None);
            }
            match shared.upgrade() {
                Some(shared) => shared.copy(to, &copying.is_over),
                None => Ok(None),
            }
        });
        let copied = done.await.map_err(|error| StoreError::Unavailable {
            doing: COPY,
            source: Box::new(error),
        })??;
        copied.ok_or_else(|| {
            CopyError::Store(StoreError::Unavailable {
                doing: COPY,
                source: "the controller is stopping".into(),
            })
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The file is let go of when nobody reads it any more.
        self.copying.is_over.store(true, Ordering::Release);
        drop(self.copying.alone.lock());
        drop(self.copying.paging.write());
        drop(self.commands.take()); // The writer ends when its inbox is empty and closed.
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let key = key.to_owned();
        Box::pin(
            self.shared
                .clone()
                .reading("read a key", move |db| tables::get(db, &key)),
        )
    }

    fn newest<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Result<Revision, StoreError>> {
        let shared = self.shared.clone();
        Box::pin(shared.reading("read the newest revision", tables::revision))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(
            self.shared
                .clone()
                .reading("list keys", move |db| tables::list(db, &prefix)),
        )
    }

    fn pages(&self, prefix: &str) -> BoxStream<'static, Result<Snapshot, StoreError>> {
        pages::pages(&self.shared, self.copying.clone(), prefix)
    }

    fn range<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        limit: usize,
        backwards: bool,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let read = move |db: &Database| tables::range(db, &from, &to, limit, backwards);
        Box::pin(self.shared.clone().reading("read a range of keys", read))
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            check_txn(&txn)?;
            self.ask("commit a transaction", |reply| Command::Commit {
                txn,
                reply,
            })
            .await
        })
    }

    fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
        watch::watch(&self.shared, prefix, after)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(
            self.ask("compact the history", move |reply| Command::Compact {
                revision,
                reply,
            }),
        )
    }

    fn copy_to<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Result<Revision, CopyError>> {
        Box::pin(self.copy(file.to_owned()))
    }

    fn condition(&self) -> BoxFuture<'_, Condition> {
        Box::pin(async { self.shared.condition() })
    }
}

impl Shared {
    /// Runs `read` on a thread where blocking does no harm.
    async fn reading<T: Send + 'static>(
        self: Arc<Self>,
        doing: &'static str,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let file = shared.file.read().unwrap_or_else(PoisonError::into_inner);
            match &*file {
                Ok(db) => read(db).map_err(|error| Trouble::of_write(&shared.path, &error)),
                Err(trouble) => Err(trouble.clone()),
            }
        });
        match done.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(trouble)) => {
                self.suspect.store(true, Ordering::Release);
                Err(trouble.while_doing(doing))
            }
            Err(error) => {
                self.suspect.fetch_or(error.is_panic(), Ordering::AcqRel);
                Err(StoreError::Unavailable {
                    doing,
                    source: Box::new(error),
                })
            }
        }
    }

    fn copy(&self, to: PathBuf, stop: &AtomicBool) -> Result<Option<Revision>, CopyError> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        match &*file {
            Ok(db) => backup::copy(db, &to, stop).map_err(|error| CopyError::Failed {
                path: to,
                source: error.into(),
            }),
            Err(trouble) => Err(trouble.while_doing(COPY).into()),
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().err().cloned()
    }

    fn condition(&self) -> Condition {
        let space = Space::of(&self.path).ok();
        let trouble = self.trouble().or_else(|| Space::refuse(&self.path, 0));
        Condition {
            engine: "embedded",
            place: self.path.display().to_string(),
            free: space.as_ref().map(|space| space.free),
            total: space.map(|space| space.total),
            used: std::fs::metadata(&self.path)
                .ok()
                .map(|file| ByteCount::from_bytes(file.len())),
            problem: trouble.map(|trouble| trouble.text().to_owned()),
            alarm: None,
            members: Vec::new(),
        }
    }
}
