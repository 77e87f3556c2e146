//! Reading everything again: does each chunk still have the contents that its id names?

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use foghorn_image::ChunkContent;
use foghorn_types::{ChunkId, ImageId, ManifestId};

use crate::index::{Entry, IndexError};
use crate::manifests::{ListManifestsError, ReadManifestError};
use crate::pack::ScanDepth;
use crate::problem::ChunkProblem;
use crate::read::ReadChunkError;
use crate::store::Store;
use crate::verify::Verifier;

/// How far a scrub is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubProgress {
    /// Chunks read so far.
    pub checked: u64,
    /// Chunks to read in all.
    pub total: u64,
}

/// What a scrub found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScrubReport {
    /// Chunks read so far.
    pub checked: u64,
    /// Chunks to read in all.
    pub total: u64,
    /// Chunks that are not what they should be.
    pub damaged: Vec<DamagedChunk>,
    /// The callback stopped it; what was not checked may or may not be right.
    pub stopped: bool,
}

/// One chunk that cannot be deployed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedChunk {
    /// Name of the chunk.
    pub id: ChunkId,
    /// What is wrong with it.
    pub problem: ChunkProblem,
    /// Images that need it; empty when it is not part of any.
    pub images: Vec<ImageId>,
}

/// The scrub could not be carried through.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ScrubError {
    #[error("could not read the index")]
    Index(#[from] IndexError),
    #[error("could not list the images")]
    List(#[from] ListManifestsError),
    #[error("could not read a manifest")]
    Manifest(#[from] ReadManifestError),
}

/// Chunks that are put into the order of the disk at a time; takes 20 MB.
const SLICE: usize = 1 << 18;

impl Store {
    /// Reads, decompresses and hashes every chunk, in the order of the disk. Damaged ones are
    /// reported and marked, so that [`contains`](Self::contains) denies them and a new put
    /// heals them. `progress` is called after each chunk and may stop the scrub. The store
    /// works on meanwhile.
    ///
    /// # Errors
    /// When the index or the manifests cannot be read. Damaged chunks are not an error.
    pub fn scrub(
        &self,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        let mut round = Round::new(self, self.index.read(|index| index.count())?, progress);
        let mut after = None;
        loop {
            let mut slice = self.index.read(|index| index.page(after, SLICE))?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(*last);
            slice.sort_unstable_by_key(|(_, entry)| (entry.pack, entry.offset));
            if round
                .check_all(slice.into_iter().map(|(id, entry)| (id, Some(entry))))
                .is_break()
            {
                break;
            }
        }
        round.finish()
    }

    /// As [`scrub`](Self::scrub), for the chunks of one manifest; chunks that are not here are
    /// reported, too.
    ///
    /// # Errors
    /// When the manifest is not here or damaged, or the index cannot be read.
    pub fn verify_manifest(
        &self,
        manifest: ManifestId,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        let root = self.manifest_root(manifest)?;
        let mut total = 0;
        let _ = self.distinct_pages(manifest, &root, |ids| {
            total += ids.len() as u64;
            ControlFlow::Continue(())
        })?;
        let mut round = Round::new(self, total, progress);
        let mut failed = None;
        // Whether it was stopped is in the report.
        let _ = self.distinct_pages(manifest, &root, |ids| {
            let found = self.index.read(|index| {
                ids.iter()
                    .map(|id| Ok((*id, index.get(id)?)))
                    .collect::<Result<Vec<_>, _>>()
            });
            match found {
                Ok(mut chunks) => {
                    chunks.sort_unstable_by_key(|(_, entry)| {
                        entry.map(|entry| (entry.pack, entry.offset))
                    });
                    round.check_all(chunks.into_iter())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => round.finish(),
        }
    }
}

struct Round<'a> {
    store: &'a Store,
    verifier: Verifier,
    report: ScrubReport,
    progress: &'a mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
}

impl<'a> Round<'a> {
    fn new(
        store: &'a Store,
        total: u64,
        progress: &'a mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Self {
        Self {
            store,
            verifier: Verifier::new(),
            report: ScrubReport {
                total,
                ..ScrubReport::default()
            },
            progress,
        }
    }

    fn check_all(
        &mut self,
        chunks: impl Iterator<Item = (ChunkId, Option<Entry>)>,
    ) -> ControlFlow<()> {
        for (id, entry) in chunks {
            if let Some(problem) = self.check(id, entry) {
                self.report.damaged.push(DamagedChunk {
                    id,
                    problem,
                    images: Vec::new(),
                });
            }
            self.report.checked += 1;
            // Chunks may have come since they were counted.
            self.report.total = self.report.total.max(self.report.checked);
            let now = ScrubProgress {
                checked: self.report.checked,
                total: self.report.total,
            };
            if (self.progress)(now).is_break() {
                self.report.stopped = true;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn check(&mut self, id: ChunkId, listed: Option<Entry>) -> Option<ChunkProblem> {
        match self.store.fetch(id, ScanDepth::Contents) {
            Ok((entry, stored)) => {
                let problem = self.verifier.verify(id, entry.plain_len, &stored).err()?;
                self.store.mark_damaged(id, entry.pack, entry.offset);
                Some(problem)
            }
            Err(ReadChunkError::Damaged { problem, .. }) => Some(problem),
            // Swept since it was listed: nothing needs it.
            Err(ReadChunkError::NotFound(_)) if listed.is_some() => None,
            Err(ReadChunkError::NotFound(_)) => Some(ChunkProblem::Missing),
            // Reported, but not marked: a cable that was out for a minute must not condemn the
            // chunk for good.
            Err(ReadChunkError::Io { .. } | ReadChunkError::Index(_)) => {
                Some(ChunkProblem::Unreadable)
            }
        }
    }

    fn finish(mut self) -> Result<ScrubReport, ScrubError> {
        if !self.report.damaged.is_empty() {
            self.name_images()?;
        }
        Ok(self.report)
    }

    fn name_images(&mut self) -> Result<(), ScrubError> {
        let damaged = self.report.damaged.iter().enumerate();
        let by_id: HashMap<ChunkId, usize> = damaged.map(|(at, chunk)| (chunk.id, at)).collect();
        for (image, id) in self.store.manifests()? {
            let root = match self.store.manifest_root(id) {
                Ok(root) => root,
                // Dropped meanwhile.
                Err(ReadManifestError::NotFound(_)) => continue,
                Err(other) => return Err(other.into()),
            };
            let mut needed = HashSet::new();
            self.store.walk_manifest(id, &root, |entry| {
                if let ChunkContent::Data(id) = entry.content
                    && by_id.contains_key(&id)
                {
                    needed.insert(id);
                }
            })?;
            for id in needed {
                self.report.damaged[by_id[&id]].images.push(image);
            }
        }
        Ok(())
    }
}
