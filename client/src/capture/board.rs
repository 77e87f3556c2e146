//! What becomes of every chunk of a capture, and the first failure.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_image::{ChunkContent, ChunkEntry, DiskGeometry, UsedMask};
use foghorn_types::{ChunkId, ChunkIndex};
use tokio_util::sync::CancellationToken;

use super::CaptureError;
use crate::disk::DiskSet;
use crate::progress::Progress;

/// Number of a used chunk within the survey, in disk order.
pub(super) type Slot = u32;

/// What the threads and lanes of one capture share.
pub(super) struct Shared {
    pub(super) disk: Arc<DiskSet>,
    pub(super) geometry: DiskGeometry,
    pub(super) chunks: Vec<(ChunkIndex, UsedMask)>,
    pub(super) progress: Arc<Progress>,
    /// Cancelled when the capture ends early, for whatever reason.
    pub(super) stop: CancellationToken,
    contents: Mutex<Contents>,
    failure: Mutex<Option<CaptureError>>,
}

#[derive(Default)]
struct Contents {
    by_slot: Vec<Option<ChunkContent>>,
    /// Chunks that were found in this capture already: asked about and sent once.
    seen: HashSet<ChunkId>,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<DiskSet>,
        geometry: DiskGeometry,
        chunks: Vec<(ChunkIndex, UsedMask)>,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Self {
        let contents = Mutex::new(Contents {
            by_slot: vec![None; chunks.len()],
            seen: HashSet::new(),
        });
        Self {
            disk,
            geometry,
            chunks,
            progress,
            stop,
            contents,
            failure: Mutex::new(None),
        }
    }

    pub(super) fn length(&self, slot: Slot) -> usize {
        self.geometry.chunk_len(self.chunks[slot as usize].0)
    }

    /// Used bytes of the chunk.
    pub(super) fn used(&self, slot: Slot) -> u64 {
        self.chunks[slot as usize].1.used_bytes(self.length(slot))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Each statement under the lock leaves the contents valid.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_zero(&self, slot: Slot) {
        self.contents().by_slot[slot as usize] = Some(ChunkContent::Zero);
        self.progress.add_done(self.used(slot));
    }

    /// Notes what a chunk holds; `true` when it is the first with this id and must be looked after.
    pub(super) fn is_data(&self, slot: Slot, id: ChunkId) -> bool {
        let mut contents = self.contents();
        contents.by_slot[slot as usize] = Some(ChunkContent::Data(id));
        contents.seen.insert(id)
    }

    /// The entries of the manifest, when every chunk is known.
    pub(super) fn entries(&self) -> Option<Vec<ChunkEntry>> {
        let contents = self.contents();
        self.chunks
            .iter()
            .zip(&contents.by_slot)
            .map(|((index, used), content)| {
                content.map(|content| ChunkEntry {
                    index: *index,
                    used: used.clone(),
                    content,
                })
            })
            .collect()
    }

    /// Ends the capture. The first failure is the one that is reported.
    pub(super) fn fail(&self, error: CaptureError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.stop.cancel();
    }

    pub(super) fn take_failure(&self) -> Option<CaptureError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
