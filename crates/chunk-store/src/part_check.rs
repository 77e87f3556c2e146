//! Checking a store in parts, so that a check that is interrupted goes on where it was: a part is
//! all chunks whose ids begin with the same byte.

use std::collections::HashMap;
use std::ops::ControlFlow;

use foghorn_types::{ChunkId, ManifestId};

use crate::index::{Entry, IndexError};
use crate::manifests::ReadManifestError;
use crate::pack::PackNumber;
use crate::problem::ChunkProblem;
use crate::scrub::{Round, ScrubError, ScrubProgress, ScrubReport};
use crate::store::Store;

/// How many parts there are.
pub const PARTS: usize = 256;

/// The chunks of a manifest, looked up and not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// How many there are in each part of the store, each once.
    pub parts: Vec<u32>,
    /// Those that are not where they should be; they are known as damaged now.
    pub missing: u64,
}

impl Presence {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.in_first(PARTS)
    }

    /// Those in the first parts.
    #[must_use]
    pub fn in_first(&self, parts: usize) -> u64 {
        let counts = self.parts.iter().take(parts);
        counts.map(|count| u64::from(*count)).sum()
    }
}

impl Store {
    /// As [`scrub`](Self::scrub), for one part of the chunks, and without the records.
    ///
    /// # Errors
    /// When the index or the list of images cannot be read. Damage is not an error.
    pub fn check_part(
        &self,
        part: u8,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        let mut chunks = self.index.read(|index| index.part(part))?;
        chunks.sort_unstable_by_key(|(_, entry)| (entry.pack, entry.offset));
        let mut round = Round::new(self, chunks.len() as u64, progress);
        // Whether it was stopped is in the report.
        let _ = round.check_all(chunks.into_iter().map(|(id, entry)| (id, Some(entry))));
        self.ledger.save();
        Ok(round.report)
    }

    /// What [`scrub`](Self::scrub) checks beside chunks: manifests, names and records of files, and
    /// whether every chunk that they need is here.
    ///
    /// # Errors
    /// When the index or the list of images cannot be read. Damage is not an error.
    pub fn check_records(
        &self,
        progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, ScrubError> {
        let mut round = Round::new(self, 0, progress);
        round.check_records()?;
        self.ledger.save();
        Ok(round.report)
    }

    /// Looks whether every chunk of the manifest is in the index and within its pack. Takes moments
    /// where reading them would take hours; says nothing about their contents.
    ///
    /// # Errors
    /// When the manifest or the index cannot be read.
    pub fn look_at(&self, manifest: ManifestId) -> Result<Presence, ScrubError> {
        let root = self.manifest_root(manifest)?;
        let mut presence = Presence {
            parts: vec![0; PARTS],
            missing: 0,
        };
        let (mut lengths, mut failed) = (HashMap::new(), None);
        let _ = self.distinct_pages(manifest, &root, |ids| {
            for id in ids {
                presence.parts[usize::from(id.as_bytes()[0])] += 1;
            }
            match self.absent(ids, &mut lengths) {
                Ok(absent) => {
                    presence.missing += absent.len() as u64;
                    for (id, problem) in absent {
                        self.note_chunk(id, problem);
                        self.ledger.hint(id, manifest);
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        self.ledger.save();
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(presence),
        }
    }

    /// As [`look_at`](Self::look_at), and a manifest that cannot be read is known as damaged.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn look_again_at(&self, manifest: ManifestId) -> Result<Option<Presence>, ScrubError> {
        match self.look_at(manifest) {
            Ok(presence) => Ok(Some(presence)),
            Err(ScrubError::Manifest(error)) => {
                let is_gone = matches!(error, ReadManifestError::NotFound(_));
                if !is_gone {
                    self.note_manifest(manifest, &error);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn absent(
        &self,
        ids: &[ChunkId],
        lengths: &mut HashMap<PackNumber, u64>,
    ) -> Result<Vec<(ChunkId, ChunkProblem)>, IndexError> {
        let found: Vec<Option<Entry>> = self
            .index
            .read(|index| ids.iter().map(|id| index.get(id)).collect())?;
        let mut absent = Vec::new();
        for (id, entry) in ids.iter().zip(found) {
            let Some(entry) = entry else {
                absent.push((*id, ChunkProblem::Missing));
                continue;
            };
            let length = lengths
                .entry(entry.pack)
                .or_insert_with(|| self.packs.len_of(entry.pack).unwrap_or(0));
            // A pack that was begun since, or a chunk that a sweep has moved, is looked up anew.
            if entry.offset + entry.record_len() > *length && !self.is_within(id)? {
                absent.push((*id, ChunkProblem::Gone));
            }
        }
        Ok(absent)
    }

    fn is_within(&self, id: &ChunkId) -> Result<bool, IndexError> {
        let entry = self.index.read(|index| index.get(id))?;
        Ok(entry.is_some_and(|entry| {
            let length = self.packs.len_of(entry.pack).unwrap_or(0);
            entry.offset + entry.record_len() <= length
        }))
    }
}
