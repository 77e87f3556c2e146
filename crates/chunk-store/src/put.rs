//! Taking chunks in: verified, appended, flushed, indexed, and only then acknowledged.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::{ByteCount, ChunkId};

use crate::index::IndexError;
use crate::problem::ChunkProblem;
use crate::store::Store;
use crate::verify::Verifier;

/// A chunk to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewChunk {
    /// Name of the chunk: the hash of its plain bytes.
    pub id: ChunkId,
    /// Bytes after decompression, at most 1 MiB.
    pub plain_len: u32,
    /// One zstd frame.
    pub compressed: Bytes,
}

/// What a put came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PutReport {
    /// Chunks that the store did not have before.
    pub new_chunks: u64,
    /// Compressed bytes of the new chunks.
    pub new_bytes: ByteCount,
    /// Chunks that were there already.
    pub duplicates: u64,
}

/// Nothing of the batch was acknowledged; the store is as usable as before.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum PutError {
    #[error("chunk {id} cannot be stored: {problem}")]
    Invalid { id: ChunkId, problem: ChunkProblem },
    #[error("the disk with {path} is full: {free} free, {keep_free} must stay free", path = path.display())]
    Full {
        path: PathBuf,
        free: ByteCount,
        keep_free: ByteCount,
    },
    #[error("could not write to {path}", path = path.display())]
    Io {
        path: PathBuf,
        source: Arc<io::Error>,
    },
    #[error("could not add chunks to the index")]
    Index(#[source] Arc<IndexError>),
}

impl PutError {
    /// Whether it is for want of space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => means_full(source),
            Self::Index(error) => error.is_full(),
            Self::Invalid { .. } => false,
        }
    }
}

impl From<IndexError> for PutError {
    fn from(error: IndexError) -> Self {
        Self::Index(Arc::new(error))
    }
}

pub(crate) fn means_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl Store {
    /// Stores a batch, all of it or nothing. When it returns, the chunks survive a loss of power.
    /// Chunks that are there already are not stored again; one that was found damaged is, and
    /// is healed by it.
    ///
    /// Batches of threads that come together share one flush. Costs one BLAKE3 and one
    /// decompression per byte.
    ///
    /// # Errors
    /// When a chunk is not what its id says, the disk is full ([`PutError::is_full`]), or the file
    /// system fails.
    pub fn put_batch(&self, chunks: &[NewChunk]) -> Result<PutReport, PutError> {
        let mut verifier = Verifier::new();
        for chunk in chunks {
            verifier
                .verify(chunk.id, chunk.plain_len, &chunk.compressed)
                .map_err(|problem| PutError::Invalid {
                    id: chunk.id,
                    problem,
                })?;
        }
        if chunks.is_empty() {
            return Ok(PutReport::default());
        }
        self.commit_verified(chunks.to_vec())
    }
}
