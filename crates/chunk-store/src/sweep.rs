//! Mark and sweep: chunks that no image and no file needs go, and packs that hold mostly such
//! chunks are written anew without them.
//!
//! Every step leaves a store that is whole: entries go before the bytes they point to, copies are
//! flushed and indexed before the originals are removed.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use foghorn_image::ChunkContent;
use foghorn_types::{ByteCount, ChunkId, ManifestId, PartId, Timestamp};
use tracing::{info, warn};

use crate::files::ReadFileError;
use crate::index::{Flush, IndexError};
use crate::manifests::{ListManifestsError, ReadManifestError};
use crate::pack::{Found, PackNumber, Scan, ScanDepth, read_record};
use crate::put::PutError;
use crate::record::RecordHeader;
use crate::store::Store;

/// What a sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepReport {
    /// Manifests that no image names any more.
    pub removed_manifests: u64,
    /// Parts of manifests that no manifest names any more.
    pub removed_parts: u64,
    /// Chunks that nothing needs any more.
    pub removed_chunks: u64,
    /// Packs that were deleted or rewritten.
    pub removed_packs: u64,
    /// Packs of which the chunks still needed were copied into the newest one; part of
    /// `removed_packs`.
    pub rewritten_packs: u64,
    /// By which the packs became smaller, all in all.
    pub freed: ByteCount,
}

/// The sweep stopped; nothing that is needed was removed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum SweepError {
    #[error("could not read which chunks files need")]
    Files(#[from] ReadFileError),
    #[error("could not list the images")]
    List(#[from] ListManifestsError),
    /// As long as a manifest cannot be read nobody knows which chunks it needs.
    #[error("could not read a manifest")]
    Manifest(#[from] ReadManifestError),
    #[error("could not access {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("could not change the index")]
    Index(#[from] IndexError),
    #[error("could not copy chunks out of a pack")]
    Rewrite(#[from] PutError),
}

/// Chunks that are judged in one transaction.
const BATCH: usize = 4096;
/// Bytes of chunks that are copied with one flush.
const COPY_BATCH: u64 = 8 << 20;

/// What is needed.
#[derive(Default)]
pub(crate) struct Marked {
    /// The first 8 bytes of every chunk: 8 MB for a million. Two chunks that share them are kept if
    /// one is needed, which does no harm and happens once in 2^44 or so.
    chunks: Vec<u64>,
    /// Length of `chunks` when equal ones were last removed.
    distinct: usize,
    /// Parts of manifests.
    parts: HashSet<PartId>,
}

impl Marked {
    pub(crate) fn has(&self, id: &ChunkId) -> bool {
        self.chunks.binary_search(&prefix(id)).is_ok()
    }

    fn add(&mut self, id: &ChunkId) {
        self.chunks.push(prefix(id));
        // Many images that share their chunks take no more than one.
        if self.chunks.len() >= (2 * self.distinct).max(1 << 20) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.chunks.sort_unstable();
        self.chunks.dedup();
        self.distinct = self.chunks.len();
    }
}

fn prefix(id: &ChunkId) -> u64 {
    u64::from_be_bytes(*id.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

impl Store {
    /// Removes what no image needs: manifests that no image has named for `grace`, and chunks and
    /// parts without a manifest, if nobody has put or asked for them for `grace` and no
    /// [`CaptureGuard`](crate::CaptureGuard) or [`ManifestPin`](crate::ManifestPin) keeps them.
    /// The store works on meanwhile; images cannot be added or dropped while chunks are judged.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub fn sweep(&self, grace: Duration) -> Result<SweepReport, SweepError> {
        let mut report = SweepReport::default();
        {
            let _references = self
                .references
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let marked = self.mark(grace, &mut report)?;
            foghorn_faults::point!("store.sweep.marked");
            self.remove_unmarked(&marked, grace, &mut report)?;
            let removed = self.parts.sweep(&marked.parts, self.cutoff(grace));
            report.removed_parts += removed.map_err(|source| SweepError::Io {
                path: self.parts.path().to_owned(),
                source,
            })?;
        }
        self.clean_packs(grace.is_zero(), &mut report)?;
        info!(?report, "swept the chunk store");
        Ok(report)
    }

    fn mark(&self, grace: Duration, report: &mut SweepReport) -> Result<Marked, SweepError> {
        let failed = |source| SweepError::Io {
            path: self.manifests.path().to_owned(),
            source,
        };
        let named: HashSet<ManifestId> = self.manifests()?.into_iter().map(|(_, id)| id).collect();
        let mut marked = Marked::default();
        for (id, written) in self.manifests.list().map_err(failed)? {
            let age = SystemTime::now()
                .duration_since(written)
                .unwrap_or_default();
            if !named.contains(&id) && !self.guards.is_pinned(&id) && age >= grace {
                self.manifests.remove(&id).map_err(failed)?;
                report.removed_manifests += 1;
                continue;
            }
            let root = self.manifest_root(id)?;
            self.walk_manifest(id, &root, |entry| {
                if let ChunkContent::Data(id) = entry.content {
                    marked.add(&id);
                }
            })?;
            marked.parts.extend(root.parts().iter().map(|part| part.id));
        }
        self.chunks_of_files()?.iter().for_each(|id| marked.add(id));
        marked.sort();
        Ok(marked)
    }

    /// What is needed by all manifests but these, and by files. Removes nothing.
    pub(crate) fn mark_but(&self, away: &HashSet<ManifestId>) -> Result<Marked, SweepError> {
        let failed = |source| SweepError::Io {
            path: self.manifests.path().to_owned(),
            source,
        };
        let mut marked = Marked::default();
        let all = self.manifests.list().map_err(failed)?;
        for (id, _) in all.into_iter().filter(|(id, _)| !away.contains(id)) {
            let root = self.manifest_root(id)?;
            self.walk_manifest(id, &root, |entry| {
                if let ChunkContent::Data(id) = entry.content {
                    marked.add(&id);
                }
            })?;
        }
        self.chunks_of_files()?.iter().for_each(|id| marked.add(id));
        marked.sort();
        Ok(marked)
    }

    fn remove_unmarked(
        &self,
        marked: &Marked,
        grace: Duration,
        report: &mut SweepReport,
    ) -> Result<(), SweepError> {
        let mut after = None;
        loop {
            let page = self.index.read(|index| index.page(after, BATCH))?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            let unmarked: Vec<ChunkId> = page
                .into_iter()
                .map(|(id, _)| id)
                .filter(|id| !marked.has(id))
                .collect();
            if !unmarked.is_empty() {
                report.removed_chunks += self.remove_old(&unmarked, grace)?;
            }
        }
    }

    pub(crate) fn remove_old(&self, ids: &[ChunkId], grace: Duration) -> Result<u64, SweepError> {
        // A put that has found its chunk present holds the writer until it has touched it.
        let _writer = self.lock_writer();
        let removed = self.index.write(Flush::Later, |index| {
            let cutoff = self.cutoff(grace);
            let mut removed = Vec::new();
            for id in ids {
                if index.get(id)?.is_some_and(|entry| entry.touched < cutoff) {
                    index.remove(id)?;
                    removed.push(*id);
                }
            }
            Ok(removed)
        })?;
        // Nobody needs it, so nobody has to be told of it.
        removed.iter().for_each(|id| self.ledger.chunk_is_whole(id));
        Ok(removed.len() as u64)
    }

    /// Chunks touched before this may go.
    fn cutoff(&self, grace: Duration) -> Timestamp {
        let cutoff = if grace.is_zero() {
            self.now() + Duration::from_millis(1)
        } else {
            self.now() - grace
        };
        self.guards
            .oldest_capture()
            .map_or(cutoff, |began| began.min(cutoff))
    }

    /// With `also_open`, the pack that is being written is closed first if it is worth it.
    pub(crate) fn clean_packs(
        &self,
        also_open: bool,
        report: &mut SweepReport,
    ) -> Result<(), SweepError> {
        // From here on the removals hold, so the bytes may go.
        self.index.write(Flush::Now, |_| Ok(()))?;
        if also_open {
            self.close_wasteful_pack()?;
        }
        // Asked before the bytes are counted: a pack that is closed by then only ever loses chunks.
        let open = self.lock_writer().pack();
        let live = self.live_bytes_by_pack()?;
        for (needed, pack, len) in self.wasteful_packs(open, &live)? {
            let copied = match if needed == 0 {
                Ok(Some(0))
            } else {
                self.copy_out(pack, len)
            } {
                Ok(Some(copied)) => copied,
                Ok(None) => continue,
                Err(SweepError::Rewrite(full)) if full.is_full() => {
                    warn!(
                        pack,
                        "there is no room to rewrite packs; the next sweep tries again"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            // Copies must be found at their new places after a crash, before the old ones go.
            self.index.write(Flush::Now, |_| Ok(()))?;
            foghorn_faults::fail!("store.sweep.before-pack-removed")
                .map_err(|error| self.pack_failed(Some(pack), error))?;
            self.packs
                .remove(pack)
                .map_err(|error| self.pack_failed(Some(pack), error))?;
            foghorn_faults::point!("store.sweep.pack-removed");
            self.index
                .write(Flush::Later, |index| index.forget_pack(pack))?;
            report.removed_packs += 1;
            report.rewritten_packs += u64::from(copied > 0);
            report.freed += ByteCount::from_bytes(len.saturating_sub(copied));
        }
        Ok(())
    }

    fn close_wasteful_pack(&self) -> Result<(), SweepError> {
        let live = self.live_bytes_by_pack()?;
        let mut writer = self.lock_writer();
        let needed = live.get(&writer.pack()).copied().unwrap_or(0);
        let len = self.packs.len_of(writer.pack()).unwrap_or(0);
        if len > 0 && needed <= len / 2 {
            // Only the last pack may have records that the index does not know.
            self.index.write(Flush::Now, |_| Ok(()))?;
            writer.roll(1);
            writer.flushed();
        }
        Ok(())
    }

    /// Closed packs of which at most half is needed: bytes needed, number, length. Those that free
    /// most for the least room come first, because the disk may be full.
    fn wasteful_packs(
        &self,
        open: PackNumber,
        live: &BTreeMap<PackNumber, u64>,
    ) -> Result<Vec<(u64, PackNumber, u64)>, SweepError> {
        let numbers = self
            .packs
            .list()
            .map_err(|error| self.pack_failed(None, error))?;
        let mut wasteful = Vec::new();
        for pack in numbers.into_iter().take_while(|pack| *pack < open) {
            let len = self
                .packs
                .len_of(pack)
                .map_err(|error| self.pack_failed(Some(pack), error))?;
            let needed = live.get(&pack).copied().unwrap_or(0);
            if needed <= len / 2 {
                wasteful.push((needed, pack, len));
            }
        }
        wasteful.sort_unstable();
        Ok(wasteful)
    }

    fn live_bytes_by_pack(&self) -> Result<BTreeMap<PackNumber, u64>, SweepError> {
        let mut live = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.index.read(|index| index.page(after, BATCH))?;
            let Some((last, _)) = page.last() else {
                return Ok(live);
            };
            after = Some(*last);
            for (_, entry) in page {
                *live.entry(entry.pack).or_default() += entry.record_len();
            }
        }
    }

    /// Copies the chunks of a pack that are still needed into the newest one. Returns the bytes
    /// copied, or `None` when a chunk is damaged: then the pack stays, for whoever wants to
    /// save something from it.
    fn copy_out(&self, pack: PackNumber, len: u64) -> Result<Option<u64>, SweepError> {
        let file = self
            .packs
            .open_for_read(pack)
            .map_err(|error| self.pack_failed(Some(pack), error))?;
        let mut scan = Scan::new(&file, 0, len, ScanDepth::Headers);
        let mut copied = 0;
        loop {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while bytes < COPY_BATCH {
                let Some(found) = scan
                    .next()
                    .map_err(|error| self.pack_failed(Some(pack), error))?
                else {
                    break;
                };
                if self
                    .index
                    .read(|index| index.get(&found.header.id))?
                    .is_some_and(|e| e.is_at(pack, found.offset))
                {
                    let Ok((header, stored)) = read_record(
                        &file,
                        found.offset,
                        found.header.stored_len,
                        ScanDepth::Contents,
                    ) else {
                        warn!(
                            pack,
                            chunk = %found.header.id,
                            "a pack with a damaged chunk is not cleaned"
                        );
                        return Ok(None);
                    };
                    bytes += header.record_len();
                    batch.push((found, header, stored));
                }
            }
            if batch.is_empty() {
                break;
            }
            copied += self.copy(pack, &batch)?;
        }
        let left = self.live_bytes_by_pack()?.contains_key(&pack);
        Ok((!left).then_some(copied))
    }

    fn copy(
        &self,
        pack: PackNumber,
        batch: &[(Found, RecordHeader, Vec<u8>)],
    ) -> Result<u64, SweepError> {
        let mut writer = self.lock_writer();
        let records: Vec<(RecordHeader, &[u8])> = self.index.read(|index| {
            let mut still = Vec::with_capacity(batch.len());
            for (found, header, stored) in batch {
                if index
                    .get(&header.id)?
                    .is_some_and(|entry| entry.is_at(pack, found.offset) && !entry.damaged)
                {
                    still.push((*header, &stored[..]));
                }
            }
            Ok(still)
        })?;
        // Half of what puts leave alone: what is freed afterwards is more than what is written.
        let keep_free = ByteCount::from_bytes(self.options.keep_free.bytes() / 2);
        self.append(&mut writer, &records, &[], keep_free)?;
        Ok(records.iter().map(|(header, _)| header.record_len()).sum())
    }

    fn pack_failed(&self, pack: Option<PackNumber>, source: io::Error) -> SweepError {
        let path = pack.map_or_else(
            || self.packs.path().to_owned(),
            |pack| self.packs.path_of(pack),
        );
        SweepError::Io { path, source }
    }
}
