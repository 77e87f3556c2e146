//! The chunk store for async code: every call runs on a blocking thread, and only so many at a
//! time. Chunks come from the disk, or from the bucket of the node where only that has them.

use std::sync::Arc;

use foghorn_chunk_store::{NewChunk, ReadChunkError, Store, StoredChunk};
use foghorn_types::{ChunkId, ManifestId, chain};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::cold::{Cold, ReadColdError};

/// Hands blocking work on the store to threads made for it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    store: Arc<Store>,
    /// More at a time than a disk can use would only make each of them slower, and each holds a
    /// buffer.
    operations: Arc<Semaphore>,
    cold: Option<Arc<Cold>>,
}

/// A chunk could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Here(#[from] ReadChunkError),
    #[error(transparent)]
    Cold(#[from] ReadColdError),
}

impl Disk {
    #[must_use]
    pub(crate) fn new(store: Arc<Store>, operations: usize, cold: Option<Arc<Cold>>) -> Self {
        Self {
            store,
            operations: Arc::new(Semaphore::new(operations)),
            cold,
        }
    }

    /// The store itself, for calls that are short or run on a thread of their own.
    #[must_use]
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Reads a chunk of an image, which is known as damaged from then on if it cannot be had.
    ///
    /// # Errors
    /// When it is neither here nor in the bucket, or the bucket does not answer for long.
    pub(crate) async fn read(
        &self,
        manifest: ManifestId,
        id: ChunkId,
    ) -> Result<StoredChunk, ReadError> {
        let here = self.run(move |store| store.read(id)).await;
        self.or_cold(id, here, Some(manifest)).await
    }

    /// As [`read`](Self::read), but takes the disk's word for its bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn read_unverified(&self, id: ChunkId) -> Result<StoredChunk, ReadError> {
        let here = self.run(move |store| store.read_unverified(id)).await;
        self.or_cold(id, here, None).await
    }

    async fn or_cold(
        &self,
        id: ChunkId,
        here: Result<StoredChunk, ReadChunkError>,
        of: Option<ManifestId>,
    ) -> Result<StoredChunk, ReadError> {
        let error = match here {
            Ok(chunk) => return Ok(chunk),
            Err(error) => error,
        };
        // No place of an operation is taken while the bucket is waited for.
        let cold = self.cold.as_ref().filter(|cold| cold.has(&id));
        let problem = match cold {
            None => None,
            Some(cold) => match cold.read(id, Some(cold.patience())).await {
                Ok(chunk) => {
                    if matches!(error, ReadChunkError::Damaged { .. }) {
                        self.heal(id, &chunk).await;
                    }
                    return Ok(chunk);
                }
                Err(problem) => Some(problem),
            },
        };
        if let Some(problem) = problem.filter(|problem| !problem.is_lost()) {
            return Err(problem.into());
        }
        if let Some(manifest) = of {
            self.store.note_failed_read_of(manifest, id, &error);
        }
        Err(error.into())
    }

    /// Stores again what was damaged here and whole in the bucket.
    async fn heal(&self, id: ChunkId, chunk: &StoredChunk) {
        let whole = NewChunk {
            id,
            plain_len: chunk.plain_len,
            compressed: chunk.compressed.clone(),
        };
        match self.run(move |store| store.put_batch(&[whole])).await {
            Ok(_) => info!(chunk = %id, "a damaged chunk was healed from the bucket"),
            Err(error) => warn!(chunk = %id, error = %chain(&error), "could not heal a chunk"),
        }
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
