//! The embedded engine: one redb file, one process, no server.
//!
//! One thread does all writing. It takes every transaction that waits into one redb transaction,
//! each at its own revision, so that they share one flush to disk (`writer`). Readers use redb's
//! own snapshots and never wait for the writer. A watch reads the history table from where it
//! stands, whenever the committed revision has moved: nothing is queued for a slow watcher, and
//! there is no border between old and live events where one could be lost or doubled.

mod tables;
mod transaction;
mod watch;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use redb::{Database, DatabaseError};
use tokio::sync::{Semaphore, oneshot};

use super::check::check_txn;
use super::{
    Entry, Revision, Snapshot, Store, StoreError, Txn, TxnOutcome, WatchBatch, WatchError,
};
use writer::{Command, Reply, Writer};

/// Memory for pages of the file. The watch cache serves reads, so the engine needs little.
const PAGE_CACHE_BYTES: usize = 32 << 20;
/// Calls that may wait for the writer at once; more wait for a place.
const WAITING_CALLS: usize = 4096;

/// The embedded engine. Dropping it waits for what has been handed to the writer, and ends all
/// watches.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    places: Semaphore,
    /// `None` only while dropping.
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
}

/// What readers need. Watches hold it weakly where they wait, so that the file is released with the
/// store.
struct Shared {
    db: Database,
    /// The last durable revision. Closed when the writer has ended.
    committed: tokio::sync::watch::Receiver<Revision>,
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
        let db = Database::builder()
            .set_cache_size(PAGE_CACHE_BYTES)
            .create(path)
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => OpenEmbeddedError::InUse {
                    path: path.to_owned(),
                },
                other => OpenEmbeddedError::Open {
                    path: path.to_owned(),
                    source: Box::new(other.into()),
                },
            })?;
        let failed = |source| OpenEmbeddedError::Open {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let start = tables::prepare(&db).map_err(failed)?;
        if start.format != tables::FORMAT {
            return Err(OpenEmbeddedError::Format {
                path: path.to_owned(),
                found: start.format,
            });
        }
        let (announce, committed) = tokio::sync::watch::channel(start.revision);
        let shared = Arc::new(Shared { db, committed });
        let (commands, inbox) = mpsc::channel();
        let writer = Writer::new(shared.clone(), announce);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| OpenEmbeddedError::Thread { source })?;
        Ok(Self {
            shared,
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
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
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
                .reading("read a key", move |shared| tables::get(&shared.db, &key)),
        )
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(
            self.shared
                .clone()
                .reading("list keys", move |shared| tables::list(&shared.db, &prefix)),
        )
    }

    fn range<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        limit: usize,
        backwards: bool,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let read = move |shared: &Shared| tables::range(&shared.db, &from, &to, limit, backwards);
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
}

impl Shared {
    /// Runs `read` on a thread where blocking does no harm.
    async fn reading<T: Send + 'static>(
        self: Arc<Self>,
        doing: &'static str,
        read: impl FnOnce(&Self) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = tokio::task::spawn_blocking(move || read(&self)).await;
        match done {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(StoreError::Unavailable {
                doing,
                source: Box::new(error),
            }),
            Err(error) => Err(StoreError::Unavailable {
                doing,
                source: Box::new(error),
            }),
        }
    }
}
