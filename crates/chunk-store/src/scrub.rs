//! Reading everything again: does each chunk still have the contents that its id names?

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use foghorn_types::{ChunkId, FileId, ImageId, ManifestId, chain};

use crate::damage::Damaged;
use crate::files::FileDirError;
use crate::index::{Entry, IndexError};
use crate::manifests::{ListManifestsError, ReadManifestError, image_in};
use crate::pack::ScanDepth;
use crate::problem::ChunkProblem;
use crate::read::ReadChunkError;
use crate::store::Store;
use crate::survey::{Question, Survey};
use crate::verify::Verifier;

/// How far a scrub is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubProgress {
    /// Chunks read so far.
    pub checked: u64,
    /// Chunks to read in all.
    pub total: u64,
    /// Compressed bytes read so far.
    pub bytes: u64,
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
    /// Manifests, names of images and records of files that are not what they should be.
    pub records: Vec<DamagedRecord>,
    /// The callback stopped it; what was not checked may or may not be right.
    pub stopped: bool,
}

impl ScrubReport {
    /// Whether nothing is wrong with what was checked.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.records.is_empty()
    }
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
    /// Files beside images that need it.
    pub files: Vec<FileId>,
}

/// Something that says what an image or a file is, and cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRecord {
    /// Which.
    pub what: RecordName,
    /// What is wrong with it.
    pub problem: String,
    /// Images that are lost with it.
    pub images: Vec<ImageId>,
}

/// Names a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordName {
    /// A manifest, or a part of it.
    Manifest(ManifestId),
    /// The list of the chunks of a file beside images.
    File(FileId),
    /// The file that says which manifest an image has.
    Name(PathBuf),
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
    #[error("could not list the files beside images")]
    Files(#[from] FileDirError),
}

/// Chunks that are put into the order of the disk at a time; takes 20 MB.
const SLICE: usize = 1 << 18;

impl Store {
    /// Reads, decompresses and hashes every chunk, in the order of the disk, and then every
    /// manifest, name and record of a file. What is damaged is reported and remembered
    /// ([`damage`](Self::damage)); damaged chunks are marked, so that
    /// [`contains`](Self::contains) denies them and a new put heals them. What was damaged and is
    /// whole again is forgotten. `progress` is called after each chunk and may stop the scrub. The
    /// store works on meanwhile.
    ///
    /// # Errors
    /// When the index or the list of images cannot be read. Damage is not an error.
    pub fn scrub(
        &self,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        let began = self.now();
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
        if !round.report.stopped {
            round.check_records()?;
        }
        let report = round.report;
        if !report.stopped {
            self.ledger.keep_only(began, &all_of(&report));
        }
        self.ledger.save();
        Ok(report)
    }

    /// Reads these chunks, which are here, and compares each with its id. What is not whole is known
    /// as damaged from then on, and what is known as damaged and whole no longer is.
    #[must_use]
    pub fn verify_chunks(&self, ids: Vec<ChunkId>) -> Vec<(ChunkId, bool)> {
        let mut quiet = |_| ControlFlow::Continue(());
        let mut round = Round::new(self, 0, &mut quiet);
        let verdict = |id| match round.check(id, None) {
            None => {
                self.ledger.chunk_is_whole(&id);
                (id, true)
            }
            Some(problem) => {
                self.note_chunk(id, problem);
                (id, false)
            }
        };
        ids.into_iter().map(verdict).collect()
    }

    /// As [`scrub`](Self::scrub), for one manifest and its chunks; chunks that are not here are
    /// reported, too.
    ///
    /// # Errors
    /// When the manifest is not here, or the index cannot be read.
    pub fn verify_manifest(
        &self,
        manifest: ManifestId,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        let mut total = 0;
        let counted = self.manifest_root(manifest).and_then(|root| {
            let _ = self.distinct_pages(manifest, &root, |ids| {
                total += ids.len() as u64;
                ControlFlow::Continue(())
            })?;
            Ok(root)
        });
        let mut round = Round::new(self, total, progress);
        let root = match counted {
            Ok(root) => root,
            Err(error @ (ReadManifestError::NotFound(_) | ReadManifestError::Io { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                round.add_manifest(manifest, chain(&error).to_string())?;
                self.ledger.save();
                return Ok(round.report);
            }
        };
        self.ledger.manifest_is_whole(&manifest);
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
                    chunks.sort_by_cached_key(|(id, entry)| match entry {
                        Some(entry) => (Some((entry.pack, entry.offset)), None),
                        None => (None, self.beyond.place(id)),
                    });
                    round.check_all(chunks.into_iter())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if !round.report.damaged.is_empty() {
            round.survey(false)?;
        }
        self.ledger.save();
        Ok(round.report)
    }
}

fn all_of(report: &ScrubReport) -> Damaged {
    let mut all = Damaged {
        chunks: report.damaged.iter().map(|chunk| chunk.id).collect(),
        ..Damaged::default()
    };
    for record in &report.records {
        match record.what {
            RecordName::Manifest(id) => drop(all.manifests.insert(id)),
            RecordName::File(id) => drop(all.files.insert(id)),
            RecordName::Name(_) => {}
        }
    }
    all
}

pub(crate) struct Round<'a> {
    store: &'a Store,
    verifier: Verifier,
    pub(crate) report: ScrubReport,
    bytes: u64,
    progress: &'a mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
}

impl<'a> Round<'a> {
    pub(crate) fn new(
        store: &'a Store,
        total: u64,
        progress: &'a mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Self {
        Self {
            store,
            verifier: Verifier::new(),
            bytes: 0,
            report: ScrubReport {
                total,
                ..ScrubReport::default()
            },
            progress,
        }
    }

    pub(crate) fn check_all(
        &mut self,
        chunks: impl Iterator<Item = (ChunkId, Option<Entry>)>,
    ) -> ControlFlow<()> {
        for (id, entry) in chunks {
            match self.check(id, entry) {
                Some(problem) => self.add_chunk(id, problem),
                None => self.store.ledger.chunk_is_whole(&id),
            }
            self.report.checked += 1;
            self.bytes += entry.map_or(0, |entry| entry.record_len());
            // Chunks may have come since they were counted.
            self.report.total = self.report.total.max(self.report.checked);
            if self.tell() {
                self.report.stopped = true;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Says how far it is; returns whether to stop.
    fn tell(&mut self) -> bool {
        let now = ScrubProgress {
            checked: self.report.checked,
            total: self.report.total,
            bytes: self.bytes,
        };
        (self.progress)(now).is_break()
    }

    fn add_chunk(&mut self, id: ChunkId, problem: ChunkProblem) {
        self.store.note_chunk(id, problem);
        self.report.damaged.push(DamagedChunk {
            id,
            problem,
            images: Vec::new(),
            files: Vec::new(),
        });
    }

    /// What was marked as damaged is read again: the disk may be another, or answer again.
    fn check(&mut self, id: ChunkId, listed: Option<Entry>) -> Option<ChunkProblem> {
        match self.store.fetch_again(id, ScanDepth::Contents, true) {
            Ok((entry, stored)) => {
                let problem = self.verifier.verify(id, entry.plain_len, &stored).err();
                if problem.is_some() {
                    self.store.mark_damaged(id, entry.pack, entry.offset);
                } else if entry.damaged {
                    self.store.mark_whole(id, entry.pack, entry.offset);
                }
                problem.filter(|_| !self.store.is_replaced(id))
            }
            Err(ReadChunkError::Damaged { problem, .. }) => {
                Some(problem).filter(|_| !self.store.is_replaced(id))
            }
            // Swept since it was listed: nothing needs it.
            Err(ReadChunkError::NotFound(_)) if listed.is_some() => None,
            Err(ReadChunkError::NotFound(_)) => self.store.beyond.check(id),
            // Reported, but not marked: a cable that was out for a minute must not condemn the
            // chunk for good.
            Err(ReadChunkError::Io { .. } | ReadChunkError::Index(_)) => {
                Some(ChunkProblem::Unreadable)
            }
        }
    }

    /// Reads everything but the chunks, and names who needs those that are damaged.
    pub(crate) fn check_records(&mut self) -> Result<(), ScrubError> {
        let survey = self.survey(true)?;
        for (id, problem) in survey.manifests {
            self.add_manifest(id, problem)?;
        }
        for (id, problem) in survey.files {
            let found = self.store.found(problem.clone());
            self.store.ledger.add_file(id, found);
            self.report.records.push(DamagedRecord {
                what: RecordName::File(id),
                problem,
                images: Vec::new(),
            });
        }
        for path in survey.names {
            let name = path.file_name().and_then(|name| name.to_str());
            self.report.records.push(DamagedRecord {
                images: name.and_then(image_in).into_iter().collect(),
                what: RecordName::Name(path),
                problem: "it does not name a manifest any more".to_owned(),
            });
        }
        Ok(())
    }

    fn add_manifest(&mut self, id: ManifestId, problem: String) -> Result<(), ScrubError> {
        let found = self.store.found(problem.clone());
        self.store.ledger.add_manifest(id, found);
        let listed = self.store.readable_manifests()?.images;
        let images = listed.into_iter().filter(|(_, manifest)| *manifest == id);
        let mut images: Vec<ImageId> = images.map(|(image, _)| image).collect();
        images.dedup();
        self.report.records.push(DamagedRecord {
            what: RecordName::Manifest(id),
            problem,
            images,
        });
        Ok(())
    }

    /// Names who needs what is damaged; with `missing`, also finds what is needed and not here.
    fn survey(&mut self, missing: bool) -> Result<Survey, ScrubError> {
        let chunks: HashSet<ChunkId> = self.report.damaged.iter().map(|chunk| chunk.id).collect();
        let store = self.store;
        let survey = store.survey(Question {
            chunks: &chunks,
            missing,
            stop: &mut || self.tell(),
        })?;
        for id in &survey.missing {
            self.add_chunk(*id, ChunkProblem::Missing);
        }
        self.report.stopped |= survey.stopped;
        for chunk in &mut self.report.damaged {
            let Some(needed) = survey.needed.get(&chunk.id) else {
                continue;
            };
            let images = needed.by.iter().flat_map(|id| &survey.images[id]);
            chunk.images = images.copied().collect();
            chunk.images.sort_unstable();
            chunk.images.dedup();
            chunk.files.clone_from(&needed.by_files);
        }
        if !survey.stopped {
            let found = self.report.damaged.iter().map(|chunk| {
                let needed = survey.needed.get(&chunk.id).cloned();
                (chunk.id, needed.unwrap_or_default())
            });
            store.ledger.set_needed(found);
        }
        Ok(survey)
    }
}
