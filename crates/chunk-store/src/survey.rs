//! Reading every manifest and every record of a file: which chunks do they need, and are they
//! whole themselves?

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use foghorn_types::{ChunkId, FileId, ImageId, ManifestId, chain};

use crate::damage::{ContentDamage, Damage};
use crate::damage_list::{Found, Needed};
use crate::files::ReadFileError;
use crate::index::IndexError;
use crate::manifests::ReadManifestError;
use crate::problem::ChunkProblem;
use crate::read::ReadChunkError;
use crate::scrub::ScrubError;
use crate::store::Store;

/// Between two looks at who needs what readers found: each look reads all manifests.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// What to look for.
pub(crate) struct Question<'a> {
    /// Who needs these?
    pub(crate) chunks: &'a HashSet<ChunkId>,
    /// Also chunks that are not here at all.
    pub(crate) missing: bool,
    /// Asked now and then; says whether to stop.
    pub(crate) stop: &'a mut dyn FnMut() -> bool,
}

/// The answer.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) needed: BTreeMap<ChunkId, Needed>,
    pub(crate) missing: HashSet<ChunkId>,
    /// Manifests that cannot be read, and why.
    pub(crate) manifests: Vec<(ManifestId, String)>,
    /// Records of files.
    pub(crate) files: Vec<(FileId, String)>,
    /// Files that name an image and no manifest any more.
    pub(crate) names: Vec<PathBuf>,
    /// The images that each manifest is.
    pub(crate) images: BTreeMap<ManifestId, Vec<ImageId>>,
    pub(crate) stopped: bool,
}

impl Store {
    /// Everything that is known to be damaged, by what needs it, whether that still has a name or
    /// not. Also writes down what was found lately.
    ///
    /// # Errors
    /// When the index or the images cannot be read.
    pub fn damage(&self) -> Result<Damage, ScrubError> {
        let unasked: HashSet<ChunkId> = self.ledger.unasked().into_iter().collect();
        if !unasked.is_empty() && self.ledger.may_ask(ASK_EVERY) {
            self.attribute(&unasked)?;
        }
        self.ledger.save();
        Ok(self.ledger.by_content())
    }

    /// What is known of one image's content.
    #[must_use]
    pub fn damage_of(&self, manifest: ManifestId) -> Option<ContentDamage> {
        self.ledger.by_content().manifests.remove(&manifest)
    }

    fn attribute(&self, chunks: &HashSet<ChunkId>) -> Result<(), ScrubError> {
        let question = Question {
            chunks,
            missing: false,
            stop: &mut || false,
        };
        let mut found = self.survey(question)?;
        let answers = chunks
            .iter()
            .map(|id| (*id, found.needed.remove(id).unwrap_or_default()));
        self.ledger.set_needed(answers);
        Ok(())
    }

    /// For a reader that was told of a chunk by a manifest and did not get it.
    pub fn note_failed_read(&self, id: ChunkId, error: &ReadChunkError) {
        match error {
            ReadChunkError::NotFound(_) => self.note_chunk(id, ChunkProblem::Missing),
            ReadChunkError::Io { .. } => self.note_chunk(id, ChunkProblem::Unreadable),
            // Noted where it was found, or says nothing about the chunk.
            ReadChunkError::Damaged { .. } | ReadChunkError::Index(_) => {}
        }
    }

    /// For a reader that was told of a chunk by this manifest and did not get it: as
    /// [`note_failed_read`](Self::note_failed_read), and [`damage`](Self::damage) says at once that
    /// this content is affected.
    pub fn note_failed_read_of(&self, manifest: ManifestId, id: ChunkId, error: &ReadChunkError) {
        self.note_failed_read(id, error);
        self.ledger.hint(id, manifest);
    }

    pub(crate) fn found(&self, problem: String) -> Found {
        let at = self.now();
        // One line for each finding.
        let problem = problem.replace(['\n', '\t'], " ");
        Found { at, problem }
    }

    pub(crate) fn note_chunk(&self, id: ChunkId, problem: ChunkProblem) {
        if !self.ledger.has_chunk(&id) {
            self.ledger.add_chunk(id, self.found(problem.to_string()));
        }
    }

    /// A manifest that is not here was dropped, unless a scrub says otherwise; a disk that does not
    /// answer says nothing about it.
    pub(crate) fn note_manifest(&self, id: ManifestId, error: &ReadManifestError) {
        use ReadManifestError::{Damaged, Decode, Io, NotFound, PartDamaged, PartNotFound};
        match error {
            Damaged(_) | Decode(..) | PartDamaged(_) | PartNotFound(_) => {
                let found = self.found(chain(error).to_string());
                self.ledger.add_manifest(id, found);
            }
            NotFound(_) | Io { .. } => {}
        }
    }

    /// Looks through all images and files.
    pub(crate) fn survey(&self, question: Question<'_>) -> Result<Survey, ScrubError> {
        let mut survey = Survey::default();
        let listed = self.readable_manifests()?;
        survey.names = listed.damaged;
        for (image, manifest) in listed.images {
            survey.images.entry(manifest).or_default().push(image);
        }
        let manifests: Vec<ManifestId> = survey.images.keys().copied().collect();
        for id in manifests {
            if (question.stop)() {
                survey.stopped = true;
                return Ok(survey);
            }
            self.survey_image(id, &question, &mut survey)?;
        }
        for id in self.files()? {
            if (question.stop)() {
                survey.stopped = true;
                return Ok(survey);
            }
            self.survey_file(id, &question, &mut survey)?;
        }
        Ok(survey)
    }

    fn survey_image(
        &self,
        id: ManifestId,
        question: &Question<'_>,
        survey: &mut Survey,
    ) -> Result<(), ScrubError> {
        let (mut needed, mut missing, mut failed) = (Vec::new(), Vec::new(), None);
        let walked = self.manifest_root(id).and_then(|root| {
            self.distinct_pages(id, &root, |ids| {
                match self.look_up(ids, question, &mut needed, &mut missing) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        // Dropped meanwhile, and its chunks swept.
        if (walked.is_err() || !missing.is_empty()) && !self.is_named(id)? {
            return Ok(());
        }
        match walked {
            Ok(_) if question.missing => self.ledger.manifest_is_whole(&id),
            Ok(_) => {}
            Err(error) => survey.manifests.push((id, chain(&error).to_string())),
        }
        for chunk in needed.into_iter().chain(missing.iter().copied()) {
            survey.needed.entry(chunk).or_default().by.push(id);
        }
        survey.missing.extend(missing);
        Ok(())
    }

    fn survey_file(
        &self,
        id: FileId,
        question: &Question<'_>,
        survey: &mut Survey,
    ) -> Result<(), ScrubError> {
        let record = match self.file_record(id) {
            Ok(record) => record,
            // Dropped since they were listed.
            Err(ReadFileError::NotFound(_)) => return Ok(()),
            Err(error) => {
                survey.files.push((id, chain(&error).to_string()));
                return Ok(());
            }
        };
        if question.missing {
            self.ledger.file_is_whole(&id);
        }
        let mut ids = record.chunks;
        ids.sort_unstable();
        ids.dedup();
        let (mut needed, mut missing) = (Vec::new(), Vec::new());
        self.look_up(&ids, question, &mut needed, &mut missing)?;
        if !missing.is_empty() && !self.files()?.contains(&id) {
            return Ok(());
        }
        for chunk in needed.into_iter().chain(missing.iter().copied()) {
            survey.needed.entry(chunk).or_default().by_files.push(id);
        }
        survey.missing.extend(missing);
        Ok(())
    }

    fn is_named(&self, id: ManifestId) -> Result<bool, ScrubError> {
        let listed = self.readable_manifests()?;
        Ok(listed.images.iter().any(|(_, manifest)| *manifest == id))
    }

    /// Which of these are asked for, and which are not here.
    fn look_up(
        &self,
        ids: &[ChunkId],
        question: &Question<'_>,
        needed: &mut Vec<ChunkId>,
        missing: &mut Vec<ChunkId>,
    ) -> Result<(), IndexError> {
        if !question.chunks.is_empty() {
            let asked = ids.iter().filter(|id| question.chunks.contains(*id));
            needed.extend(asked.copied());
        }
        if question.missing {
            self.index.read(|index| {
                for id in ids {
                    let is_gone = index.get(id)?.is_none() && self.beyond.place(id).is_none();
                    if is_gone && !question.chunks.contains(id) {
                        missing.push(*id);
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
