//! Measures the commit times of the state store, because every part of the controller waits for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::{
    Condition, CopyError, Entry, Revision, Snapshot, Store, StoreError, Txn, TxnOutcome,
    WatchBatch, WatchError,
};

/// An engine whose commits are timed.
pub(crate) struct MeasuredStore {
    engine: Arc<dyn Store>,
}

impl MeasuredStore {
    pub(crate) fn new(engine: Arc<dyn Store>) -> Self {
        Self { engine }
    }
}

/// What a caller sees of an engine that fails in the middle: it does not know what took place.
fn broken(source: std::io::Error) -> StoreError {
    StoreError::Unavailable {
        doing: "commit a transaction",
        source: Box::new(source),
    }
}

impl Store for MeasuredStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.engine.get(key)
    }

    fn newest<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Revision, StoreError>> {
        self.engine.newest(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, StoreError>> {
        self.engine.list(prefix)
    }

    fn pages(&self, prefix: &str) -> BoxStream<'static, Result<Snapshot, StoreError>> {
        self.engine.pages(prefix)
    }

    fn is_interrupted(&self) -> bool {
        self.engine.is_interrupted()
    }

    fn range<'a>(
        &'a self,
        from: &'a str,
        to: &'a str,
        limit: usize,
        backwards: bool,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.engine.range(from, to, limit, backwards)
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<TxnOutcome, StoreError>> {
        Box::pin(async move {
            let started = Instant::now();
            foghorn_faults::wait_or_fail!("controller.store.before-commit").map_err(broken)?;
            let outcome = self.engine.commit(txn).await;
            foghorn_faults::wait_or_fail!("controller.store.committed").map_err(broken)?;
            let label = match &outcome {
                Ok(TxnOutcome::Committed(_)) => "committed",
                Ok(TxnOutcome::Conflict) => "conflict",
                Err(_) => "error",
            };
            metrics::histogram!("foghorn_store_commit_duration_seconds", "outcome" => label)
                .record(started.elapsed().as_secs_f64());
            outcome
        })
    }

    fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> BoxStream<'static, Result<WatchBatch, WatchError>> {
        self.engine.watch(prefix, after)
    }

    fn copy_to<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Result<Revision, CopyError>> {
        self.engine.copy_to(file)
    }

    fn condition(&self) -> BoxFuture<'_, Condition> {
        self.engine.condition()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.engine.compact(revision)
    }
}
