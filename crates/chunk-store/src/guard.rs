//! Keeping the sweep away from what somebody is using.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_types::{ChunkId, ManifestId, Timestamp};

use crate::index::{Entry, Flush, IndexError};
use crate::put::{NewChunk, PutError, PutReport};
use crate::store::Store;

/// Everything in use, by memory alone: a process that has died uses nothing.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    /// When each running capture began.
    captures: BTreeMap<u64, Timestamp>,
    /// How many captures have ended.
    ended: u64,
    /// How many pins each manifest has.
    manifests: HashMap<ManifestId, usize>,
}

impl Guards {
    fn held(&self) -> MutexGuard<'_, Held> {
        // The maps are whole between any two statements here.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the oldest running capture began.
    pub(crate) fn oldest_capture(&self) -> Option<Timestamp> {
        self.held().captures.values().min().copied()
    }

    /// Grows when something may have become useless.
    pub(crate) fn ended_captures(&self) -> u64 {
        self.held().ended
    }

    pub(crate) fn is_pinned(&self, manifest: &ManifestId) -> bool {
        self.held().manifests.contains_key(manifest)
    }
}

/// A running capture: chunks that it put, or was told are here, stay at least until it is dropped.
/// The image's manifest must be put before that.
#[derive(Debug)]
pub struct CaptureGuard {
    store: Arc<Store>,
    number: u64,
    began: Timestamp,
}

/// Keeps a manifest and its chunks although its image is dropped or captured anew.
#[derive(Debug)]
pub struct ManifestPin {
    store: Arc<Store>,
    manifest: ManifestId,
}

impl Store {
    /// Begins a capture.
    #[must_use]
    pub fn capture_guard(self: &Arc<Self>) -> CaptureGuard {
        let mut held = self.guards.held();
        let (number, began) = (held.next, self.now());
        held.next += 1;
        held.captures.insert(number, began);
        drop(held);
        CaptureGuard {
            store: self.clone(),
            number,
            began,
        }
    }

    /// Keeps a manifest and its chunks until the pin is dropped.
    #[must_use]
    pub fn pin_manifest(self: &Arc<Self>, manifest: ManifestId) -> ManifestPin {
        *self.guards.held().manifests.entry(manifest).or_default() += 1;
        ManifestPin {
            store: self.clone(),
            manifest,
        }
    }
}

impl CaptureGuard {
    /// As [`Store::contains`], and what is here stays here as long as the guard.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn contains(&self, ids: &[ChunkId]) -> Result<Vec<bool>, IndexError> {
        let touched = self.store.now();
        // One transaction, so that no sweep comes between the answer and the touch that protects
        // it.
        self.store.index.write(Flush::Later, |index| {
            ids.iter()
                .map(|id| match index.get(id)? {
                    Some(entry) if self.store.is_whole(id, Some(entry)) => {
                        if entry.touched < self.began {
                            index.insert(id, &Entry { touched, ..entry })?;
                        }
                        Ok(true)
                    }
                    _ => Ok(false),
                })
                .collect()
        })
    }

    /// As [`Store::put_batch`], and all of it stays here as long as the guard. When the disk is full,
    /// what nothing needs is removed first, however new it is.
    ///
    /// # Errors
    /// As [`Store::put_batch`].
    pub fn put_batch(&self, chunks: &[NewChunk]) -> Result<PutReport, PutError> {
        self.store.with_room(|| self.store.put_batch(chunks))
    }
}

impl Drop for CaptureGuard {
    fn drop(&mut self) {
        let mut held = self.store.guards.held();
        held.captures.remove(&self.number);
        held.ended += 1;
    }
}

impl Drop for ManifestPin {
    fn drop(&mut self) {
        let mut held = self.store.guards.held();
        if let Some(count) = held.manifests.get_mut(&self.manifest) {
            *count -= 1;
            if *count == 0 {
                held.manifests.remove(&self.manifest);
            }
        }
    }
}
