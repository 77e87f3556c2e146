//! The chunk store for async code: every call runs on a blocking thread, and only so many at a
//! time.

use std::sync::Arc;

use foghorn_chunk_store::Store;
use tokio::sync::Semaphore;

/// Hands blocking work on the store to threads made for it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    store: Arc<Store>,
    /// More at a time than a disk can use would only make each of them slower, and each holds a
    /// buffer.
    operations: Arc<Semaphore>,
}

impl Disk {
    #[must_use]
    pub(crate) fn new(store: Arc<Store>, operations: usize) -> Self {
        Self {
            store,
            operations: Arc::new(Semaphore::new(operations)),
        }
    }

    /// The store itself, for calls that are short or run on a thread of their own.
    #[must_use]
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Runs `work` on a blocking thread. Work that has begun goes on when the future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> T {
        let permit = self
            .operations
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&store)
        });
        match done.await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime goes down and took the work with it; so will whoever waits here.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
