//! What of the store was verified and still counts: the file `verified` in the state directory.
//!
//! What comes into the store is verified when it comes, so only what does not count is listed: all
//! that was there when the store turned out to be another one, or an older one, or the machine had
//! gone down without a word ([`binding`]). It is read and verified again, part by part, and the file
//! says how far that is. Why: `docs/decisions/0024-verified-again.md`.

mod binding;
mod round;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_chunk_store::{PARTS, Presence};
use foghorn_types::{ManifestId, Timestamp, chain};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use self::binding::Binding;
pub(crate) use self::round::Round;
use crate::whole_file::write_whole;

/// Parts that were checked within this time of a write wait for the next one.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Shared by whoever verifies, and by the report of the node's status.
pub(crate) struct Marks {
    path: PathBuf,
    state: Mutex<State>,
}

/// The file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// What the marks are about; absent before the first start of a version that writes them.
    binding: Option<Binding>,
    /// The process has ended in an orderly way since.
    #[serde(default)]
    ended: bool,
    /// What does not count, and why.
    #[serde(default)]
    unverified: BTreeMap<ManifestId, String>,
    #[serde(default)]
    round: Round,
}

struct State {
    kept: Kept,
    /// Where the chunks of what does not count are, as far as it was looked up.
    present: BTreeMap<ManifestId, Presence>,
    /// When the file was written for a part that was checked.
    saved: Option<Instant>,
}

/// Content that does not count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unverified {
    pub manifest: ManifestId,
    pub verified: u64,
    pub total: u64,
    pub reason: String,
}

/// Why the marks could not be read. Everything is verified again then.
#[derive(Debug, thiserror::Error)]
enum ReadMarksError {
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    #[error("the file is not what was written")]
    Decode(#[from] serde_json::Error),
}

impl Marks {
    /// Finds out whether what is here (`held`) still counts, and writes that down. On a disk that
    /// cannot be written, nothing is known after the next start.
    pub(crate) fn open(
        state_dir: &Path,
        store: &Path,
        held: &[ManifestId],
        now: Timestamp,
    ) -> Arc<Self> {
        let path = state_dir.join("verified");
        let mut kept = match read(&path) {
            Ok(kept) => kept,
            Err(error) => {
                warn!(path = %path.display(), error = %chain(&error),
                    "what was verified is not known any more");
                Kept::default()
            }
        };
        let binding = Binding::of(store)
            .inspect_err(|error| warn!(error = %chain(error), "could not mark the chunk store"))
            .ok();
        if let Some(why) = binding::broken(kept.binding.as_ref(), binding.as_ref(), kept.ended) {
            let reason = why.to_string();
            kept.unverified = held.iter().map(|id| (*id, reason.clone())).collect();
            kept.round.begin_anew();
            if !held.is_empty() {
                warn!(
                    images = held.len(),
                    why = reason,
                    "everything that is stored here is verified again before it counts"
                );
            }
        }
        kept.unverified.retain(|id, _| held.contains(id));
        kept.round.first_start(now);
        kept.binding = binding;
        kept.ended = false;
        let marks = Self {
            path,
            state: Mutex::new(State {
                kept,
                present: BTreeMap::new(),
                saved: None,
            }),
        };
        if !marks.save(&marks.lock()) {
            // What it says would be believed, although the machine may go down without a word.
            let _ = std::fs::remove_file(&marks.path);
        }
        Arc::new(marks)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let bytes = serde_json::to_vec(&state.kept)?;
        write_whole(&self.path, &bytes)
    }

    /// A file that could not be written only means that more is verified again. Returns whether it
    /// was.
    fn save(&self, state: &State) -> bool {
        let written = self.write(state).inspect_err(|error| {
            warn!(path = %self.path.display(), error = %chain(error),
                "could not write down what was verified");
        });
        written.is_ok()
    }

    /// Whether anything does not count.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.lock().kept.unverified.is_empty()
    }

    /// What does not count and was not looked up yet.
    pub(crate) fn not_looked_at(&self) -> Vec<ManifestId> {
        let state = self.lock();
        let ids = state.kept.unverified.keys().copied();
        ids.filter(|id| !state.present.contains_key(id)).collect()
    }

    /// Where the chunks are; `None`: the content is gone, or cannot be read.
    pub(crate) fn looked_at(&self, manifest: ManifestId, presence: Option<Presence>) {
        let presence = presence.unwrap_or(Presence {
            parts: vec![0; PARTS],
            missing: 0,
        });
        self.lock().present.insert(manifest, presence);
    }

    /// What does not count, of what is here.
    pub(crate) fn unverified(&self, is_here: impl Fn(&ManifestId) -> bool) -> Vec<Unverified> {
        let state = self.lock();
        let listed = state.kept.unverified.iter();
        listed
            .filter(|(id, _)| is_here(id))
            .map(|(id, reason)| {
                let presence = state.present.get(id);
                let done = state.kept.round.parts_done();
                Unverified {
                    manifest: *id,
                    verified: presence.map_or(0, |presence| presence.in_first(done)),
                    total: presence.map_or(0, Presence::total),
                    reason: reason.clone(),
                }
            })
            .collect()
    }

    /// Every chunk of it was read and is right.
    pub(crate) fn verified(&self, manifest: ManifestId) {
        let mut state = self.lock();
        if state.kept.unverified.remove(&manifest).is_some() {
            info!(manifest = %format!("{manifest:#}"), "content was verified again, and counts");
            self.save(&state);
        }
    }

    /// Every chunk and every record was read; what is damaged is known.
    pub(crate) fn all_verified(&self) {
        let mut state = self.lock();
        if !state.kept.unverified.is_empty() {
            info!("everything was verified again, and counts");
            state.kept.unverified.clear();
            self.save(&state);
        }
    }

    /// How the check of everything is getting on.
    pub(crate) fn round(&self) -> Round {
        self.lock().kept.round.clone()
    }

    /// Changes how it is getting on, and writes that down now and then: what is lost with a crash is
    /// checked again.
    pub(crate) fn in_round(&self, change: impl FnOnce(&mut Round)) {
        let mut state = self.lock();
        change(&mut state.kept.round);
        if state
            .saved
            .is_none_or(|saved| saved.elapsed() >= SAVE_EVERY)
        {
            state.saved = Some(Instant::now());
            self.save(&state);
        }
    }

    /// A round has come to its end.
    pub(crate) fn round_ended(&self, damaged: u64, now: Timestamp) {
        let mut state = self.lock();
        state.kept.round.end(damaged, now);
        state.kept.unverified.clear();
        self.save(&state);
    }

    /// The process ends, and nothing is written to the store any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.kept.ended = true;
        self.save(&state);
    }
}

fn read(path: &Path) -> Result<Kept, ReadMarksError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
