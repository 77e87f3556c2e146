//! Chunks that are not here and can be had all the same: a cold copy of them lies elsewhere. The
//! store asks whoever keeps it; it never reads one itself.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::{ByteCount, ChunkId, ManifestId, chain};
use tracing::warn;

use crate::index::Flush;
use crate::pack::ScanDepth;
use crate::problem::ChunkProblem;
use crate::read::{ReadChunkError, StoredChunk};
use crate::store::Store;
use crate::sweep::{SweepError, SweepReport};
use crate::verify::Verifier;

/// Where chunks are that are not in the store.
pub trait Elsewhere: Send + Sync {
    /// Where the chunk lies there, as a number to sort by; `None`: it is not there.
    fn place(&self, id: &ChunkId) -> Option<u64>;

    /// Reads it and compares it with its id. Blocking; also where a runtime runs.
    fn check(&self, id: ChunkId) -> Option<ChunkProblem>;
}

/// Set once, when the store is opened.
#[derive(Default)]
pub(crate) struct Beyond(OnceLock<Arc<dyn Elsewhere>>);

impl fmt::Debug for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Beyond")
            .field(&self.0.get().is_some())
            .finish()
    }
}

impl Beyond {
    pub(crate) fn place(&self, id: &ChunkId) -> Option<u64> {
        self.0.get()?.place(id)
    }

    /// What is wrong with a chunk that is not here.
    pub(crate) fn check(&self, id: ChunkId) -> Option<ChunkProblem> {
        match self.0.get() {
            Some(elsewhere) if elsewhere.place(&id).is_some() => elsewhere.check(id),
            _ => Some(ChunkProblem::Missing),
        }
    }
}

/// Compares a chunk that was received with its id.
///
/// # Errors
/// What is wrong with it.
pub fn verify_chunk(id: ChunkId, plain_len: u32, compressed: &Bytes) -> Result<(), ChunkProblem> {
    Verifier::new().verify(id, plain_len, compressed)
}

impl Store {
    /// Lets the store know where else chunks are: they do not count as missing any more. Counts
    /// once, for as long as the store is open.
    pub fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        let _ = self.beyond.0.set(elsewhere);
    }

    /// As [`read`](Self::read), and compares the contents with the id as a scrub does.
    ///
    /// # Errors
    /// See [`ReadChunkError`].
    pub fn read_whole(&self, id: ChunkId) -> Result<StoredChunk, ReadChunkError> {
        let (entry, stored) = self.fetch(id, ScanDepth::Contents)?;
        let verdict = Verifier::new().verify(id, entry.plain_len, &stored);
        if let Err(problem) = verdict {
            self.mark_damaged(id, entry.pack, entry.offset);
            self.note_chunk(id, problem);
            return Err(ReadChunkError::Damaged {
                id,
                pack: entry.pack,
                problem,
            });
        }
        Ok(StoredChunk {
            plain_len: entry.plain_len,
            compressed: stored.into(),
        })
    }

    /// Whether a chunk that is damaged here is whole elsewhere. Then it is only there from now on.
    pub(crate) fn is_replaced(&self, id: ChunkId) -> bool {
        if self.beyond.place(&id).is_none() || self.beyond.check(id).is_some() {
            return false;
        }
        let removed = self.index.write(Flush::Now, |index| index.remove(&id));
        removed
            .inspect_err(|error| warn!(chunk = %id, error = %chain(error), "could not forget a damaged chunk"))
            .is_ok()
    }

    /// Whether somebody is served from it.
    #[must_use]
    pub fn is_pinned(&self, manifest: ManifestId) -> bool {
        self.guards.is_pinned(&manifest)
    }

    /// Removes the chunks of a manifest that are elsewhere, too, and gives the disk its room back.
    /// Chunks stay that a manifest needs which is not in `away`, or a file, or a capture that runs.
    /// Does nothing when somebody is served from the manifest.
    ///
    /// # Errors
    /// See [`SweepError`]; what was removed by then can be read from elsewhere.
    pub fn evict(
        &self,
        manifest: ManifestId,
        away: &HashSet<ManifestId>,
    ) -> Result<SweepReport, SweepError> {
        let mut report = SweepReport::default();
        {
            let _references = self
                .references
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if self.guards.is_pinned(&manifest) {
                return Ok(report);
            }
            let marked = self.mark_but(away)?;
            let root = self.manifest_root(manifest)?;
            let mut failed = None;
            let _ = self.distinct_pages(manifest, &root, |ids| {
                let ids = ids.iter().copied();
                let evictable: Vec<ChunkId> = ids
                    .filter(|id| !marked.has(id) && self.beyond.place(id).is_some())
                    .collect();
                match self.remove_old(&evictable, Duration::ZERO) {
                    Ok(removed) => {
                        report.removed_chunks += removed;
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        self.clean_packs(true, &mut report)?;
        Ok(report)
    }

    /// Bytes that the packs take, with what the next sweep would free.
    #[must_use]
    pub fn pack_bytes(&self) -> ByteCount {
        let packs = self.packs.list().unwrap_or_default();
        let bytes = packs
            .iter()
            .map(|pack| self.packs.len_of(*pack).unwrap_or(0));
        ByteCount::from_bytes(bytes.sum())
    }
}
