//! The store as one controller sees it: its calls wait in a list until the simulated network has
//! carried them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use foghorn_controller::store::{
    Condition, CopyError, Entry, Revision, Snapshot, Store, StoreError, Txn, TxnOutcome,
    WatchBatch, WatchError,
};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// A call on its way to the store.
pub(crate) enum StoreCall {
    Get(String, Answer<Option<Entry>>),
    List(String, Answer<Snapshot>),
    Range((String, String), usize, bool, Answer<Vec<Entry>>),
    Commit(Txn, Answer<TxnOutcome>),
    Compact(Revision, Answer<()>),
    Watch(String, Revision, Watcher),
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;
pub(crate) type Watcher = mpsc::UnboundedSender<Result<WatchBatch, WatchError>>;

/// Calls that the network has yet to take.
pub(crate) type Calls = Arc<Mutex<Vec<StoreCall>>>;

pub(crate) struct StoreClient {
    pub(crate) calls: Calls,
}

/// The engine does not answer.
pub(crate) fn unavailable(doing: &'static str) -> StoreError {
    StoreError::Unavailable {
        doing,
        source: Box::new(std::io::Error::other("the simulated network lost it")),
    }
}

impl StoreClient {
    fn push(&self, call: StoreCall) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
    }

    fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        call: impl FnOnce(Answer<T>) -> StoreCall,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        self.push(call(answer));
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(unavailable(doing))) })
    }
}

impl Store for StoreClient {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.ask("read a key", |answer| {
            StoreCall::Get(key.to_owned(), answer)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        self.ask("list keys", |answer| {
            StoreCall::List(prefix.to_owned(), answer)
        })
    }

    fn newest<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Result<Revision, StoreError>> {
        // Of every answer the engine says at which revision it is.
        let listed = self.ask("read the newest revision", |answer| {
            StoreCall::List("nothing begins like this".to_owned(), answer)
        });
        Box::pin(async move { listed.await.map(|snapshot| snapshot.revision) })
    }

    fn pages(&self, prefix: &str) -> BoxStream<'static, Result<Snapshot, StoreError>> {
        let listed = self.ask("list keys", |answer| {
            StoreCall::List(prefix.to_owned(), answer)
        });
        futures_util::stream::once(listed).boxed()
    }

    fn range<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        limit: usize,
        backwards: bool,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let between = (from.to_owned(), to.to_owned());
        self.ask("read keys", |answer| {
            StoreCall::Range(between, limit, backwards, answer)
        })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        // As etcd: nothing happens before it is awaited.
        Box::pin(async move {
            self.ask("commit a transaction", |answer| {
                StoreCall::Commit(txn, answer)
            })
            .await
        })
    }

    fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
        let (watcher, batches) = mpsc::unbounded_channel();
        self.push(StoreCall::Watch(prefix.to_owned(), after, watcher));
        UnboundedReceiverStream::new(batches).boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask("compact", |answer| StoreCall::Compact(revision, answer))
    }

    fn copy_to<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<Revision, CopyError>> {
        Box::pin(async { Err(CopyError::NotHere) })
    }

    fn condition(&self) -> BoxFuture<'_, Condition> {
        Box::pin(async {
            Condition {
                engine: "etcd",
                place: "simulated".to_owned(),
                free: None,
                total: None,
                used: None,
                problem: None,
                alarm: None,
                members: Vec::new(),
            }
        })
    }
}
