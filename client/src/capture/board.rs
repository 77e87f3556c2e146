//! What becomes of every chunk of a capture, and the first failure.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_image::{
    ByteRanges, ChunkContent, ChunkEntry, ChunkList, DiskGeometry, Manifest, ManifestPart,
    ManifestWriter, UsedMask,
};
use foghorn_types::{ChunkId, ChunkIndex};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{CaptureError, sparse};
use crate::disk::DiskSet;
use crate::progress::Progress;

/// Number of a used chunk within the survey, in disk order.
pub(super) type Slot = u32;

/// What the threads and lanes of one capture share.
pub(super) struct Shared {
    pub(super) disk: Arc<DiskSet>,
    pub(super) geometry: DiskGeometry,
    /// The used chunks. What they hold is not known yet; they stand here as zero.
    chunks: ChunkList,
    pub(super) progress: Arc<Progress>,
    /// Cancelled when the capture ends early, for whatever reason.
    pub(super) stop: CancellationToken,
    contents: Mutex<Contents>,
    /// Told when a part of the manifest is ready.
    pub(super) part_ready: Notify,
    failure: Mutex<Option<CaptureError>>,
}

/// The manifest so far. What is behind `first` is written and forgotten, so memory depends on how
/// far the stages are apart, not on the size of the disk.
struct Contents {
    first: Slot,
    /// Of the slots from `first` on, those that are known.
    known: VecDeque<Option<ChunkContent>>,
    /// Where a zero chunk is not worth an entry.
    sparse: ByteRanges,
    writer: ManifestWriter,
    /// Complete parts that the agent does not have yet.
    parts: VecDeque<ManifestPart>,
    seen: Seen,
}

/// The chunks that were found in this capture lately: asked about and sent once. For an older one
/// the agent is asked again, which has it.
#[derive(Default)]
struct Seen {
    recent: HashSet<ChunkId>,
    older: HashSet<ChunkId>,
}

/// Chunks that are surely remembered; some 35 MB are taken at most.
const REMEMBERED: usize = 7 << 15;

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, id: ChunkId) -> bool {
        if self.older.contains(&id) || !self.recent.insert(id) {
            return false;
        }
        if self.recent.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.recent);
        }
        true
    }
}

impl Shared {
    /// `chunks` are those of the survey; of the zero ones those inside `sparse` get no entry.
    pub(super) fn new(
        disk: Arc<DiskSet>,
        geometry: DiskGeometry,
        chunks: ChunkList,
        sparse: ByteRanges,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Self {
        let contents = Mutex::new(Contents {
            first: 0,
            known: VecDeque::new(),
            sparse,
            writer: ManifestWriter::default(),
            parts: VecDeque::new(),
            seen: Seen::default(),
        });
        Self {
            disk,
            geometry,
            chunks,
            progress,
            stop,
            contents,
            part_ready: Notify::new(),
            failure: Mutex::new(None),
        }
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> Slot {
        self.chunks.len() as Slot
    }

    /// Used bytes of all slots.
    pub(super) fn used_total(&self) -> u64 {
        let used = |entry: ChunkEntry| entry.used.used_bytes(self.geometry.chunk_len(entry.index));
        self.chunks.iter().map(used).sum()
    }

    fn chunk(&self, slot: Slot) -> ChunkEntry {
        let chunk = self.chunks.get(slot as usize);
        chunk.expect("slots are numbers of surveyed chunks")
    }

    /// The place of the slot on the disk; `None` behind the last one.
    pub(super) fn index(&self, slot: usize) -> Option<ChunkIndex> {
        self.chunks.get(slot).map(|chunk| chunk.index)
    }

    /// How many slots lie before the chunk with this index.
    pub(super) fn slots_below(&self, index: ChunkIndex) -> Slot {
        self.chunks.count_below(index) as Slot
    }

    /// How many slots before this one are not written yet, because one of them is not known.
    pub(super) fn behind(&self, slot: Slot) -> Slot {
        slot.saturating_sub(self.contents().first)
    }

    pub(super) fn mask(&self, slot: Slot) -> UsedMask {
        self.chunk(slot).used
    }

    pub(super) fn length(&self, slot: Slot) -> usize {
        self.geometry.chunk_len(self.chunk(slot).index)
    }

    /// Used bytes of the chunk.
    pub(super) fn used(&self, slot: Slot) -> u64 {
        let chunk = self.chunk(slot);
        chunk.used.used_bytes(self.geometry.chunk_len(chunk.index))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Each statement under the lock leaves the contents valid.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_zero(&self, slot: Slot) {
        self.settle(&mut self.contents(), slot, ChunkContent::Zero);
        self.progress.add_done(self.used(slot));
    }

    /// Notes what a chunk holds; `true` when it is the first with this id and must be looked after.
    pub(super) fn is_data(&self, slot: Slot, id: ChunkId) -> bool {
        let mut contents = self.contents();
        self.settle(&mut contents, slot, ChunkContent::Data(id));
        contents.seen.insert(id)
    }

    /// Writes the entries of all slots of which everything before is known.
    fn settle(&self, contents: &mut Contents, slot: Slot, content: ChunkContent) {
        let at = (slot - contents.first) as usize;
        if contents.known.len() <= at {
            contents.known.resize(at + 1, None);
        }
        contents.known[at] = Some(content);
        while let Some(Some(content)) = contents.known.front().copied() {
            let entry = ChunkEntry {
                content,
                ..self.chunk(contents.first)
            };
            contents.known.pop_front();
            contents.first += 1;
            if sparse::is_worth_an_entry(self.geometry, &contents.sparse, &entry) {
                contents.writer.push(&entry);
            }
        }
        let ready = contents.writer.take_parts();
        if !ready.is_empty() {
            contents.parts.extend(ready);
            self.part_ready.notify_one();
        }
    }

    /// The next part for the agent. It stays until it [was stored](Self::part_stored).
    pub(super) fn next_part(&self) -> Option<ManifestPart> {
        self.contents().parts.front().cloned()
    }

    pub(super) fn part_stored(&self) {
        self.contents().parts.pop_front();
    }

    /// The encoded manifest, when every chunk is known; `manifest` has everything but the entries.
    /// Its last parts are among those that the agent still has to get.
    pub(super) fn finish(&self, manifest: &Manifest) -> Option<Vec<u8>> {
        let mut contents = self.contents();
        if contents.first != self.slots() {
            return None;
        }
        let (encoded, rest) = std::mem::take(&mut contents.writer).finish(manifest);
        contents.parts.extend(rest);
        Some(encoded)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_lately_is_remembered_and_the_rest_forgotten() {
        let id = |number: usize| ChunkId::of(&number.to_le_bytes());
        let mut seen = Seen::default();
        assert!((0..2 * REMEMBERED).all(|number| seen.insert(id(number))));
        assert!((REMEMBERED..2 * REMEMBERED).all(|number| !seen.insert(id(number))));
        assert!(seen.insert(id(0)));
        assert!(seen.recent.len() + seen.older.len() <= 2 * REMEMBERED);
    }
}
