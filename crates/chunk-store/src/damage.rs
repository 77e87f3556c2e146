//! What was found damaged, and by whom it is needed, until it is found whole: the file `damage` in
//! the store. One line for each finding, written anew as a whole; usually there is none.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_types::{ChunkId, FileId, ManifestId, Timestamp, chain};
use tracing::warn;

use crate::damage_list::{DamagedEntry, Found, Lines, Needed};
use crate::manifests::write_durably;

/// Damaged chunks that are remembered. A node with more has lost its disk, and since ids are hashes,
/// every image of some size has some among the first.
const MOST: usize = 100_000;
/// Findings within this time of a write wait for the next one.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const NAME: &str = "damage";

/// What cannot be given out whole, of one image's content or of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentDamage {
    /// Damaged chunks that it needs.
    pub chunks: u64,
    /// Its manifest, or the record of the file, is damaged itself.
    pub record: bool,
    /// When the first of it was found.
    pub found: Timestamp,
    /// What is wrong with what was found first.
    pub problem: String,
}

impl ContentDamage {
    fn add(known: Option<Self>, found: &Found, record: bool) -> Self {
        let known = known.unwrap_or_else(|| Self {
            chunks: 0,
            record: false,
            found: found.at,
            problem: found.problem.clone(),
        });
        let is_earlier = found.at < known.found;
        Self {
            chunks: known.chunks + u64::from(!record),
            record: known.record || record,
            found: known.found.min(found.at),
            problem: if is_earlier || record {
                found.problem.clone()
            } else {
                known.problem
            },
        }
    }
}

/// Everything that is known to be damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Damage {
    /// Content of images.
    pub manifests: BTreeMap<ManifestId, ContentDamage>,
    /// Files beside images.
    pub files: BTreeMap<FileId, ContentDamage>,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Findings, to see without a lock that there are none.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    lines: Lines,
    /// Differs from the file.
    dirty: bool,
    saved: Option<Instant>,
    /// When somebody last looked who needs what.
    asked: Option<Instant>,
    /// Content that certainly needs a chunk of which nobody has asked yet.
    hints: BTreeMap<ChunkId, ManifestId>,
}

/// What a scrub of everything has found.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    pub(crate) chunks: HashSet<ChunkId>,
    pub(crate) manifests: HashSet<ManifestId>,
    pub(crate) files: HashSet<FileId>,
}

impl Ledger {
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let path = store.join(NAME);
        let lines = match fs::read(&path) {
            Ok(bytes) => Lines::decode(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lines::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            count: AtomicUsize::new(lines.len()),
            inner: Mutex::new(Inner {
                lines,
                ..Inner::default()
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // The maps are whole between any two statements here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// `change` says whether it has changed anything.
    fn change(&self, change: impl FnOnce(&mut Lines) -> bool) {
        let mut inner = self.inner();
        if !change(&mut inner.lines) {
            return;
        }
        self.count.store(inner.lines.len(), Ordering::Release);
        inner.dirty = true;
        if inner.saved.is_none_or(|saved| saved.elapsed() > SAVE_EVERY) {
            self.save_held(&mut inner);
        }
    }

    pub(crate) fn add_chunk(&self, id: ChunkId, found: Found) {
        self.inner().hints.remove(&id);
        self.change(|lines| {
            if lines.chunks.len() >= MOST || lines.chunks.contains_key(&id) {
                return false;
            }
            let entry = DamagedEntry {
                found,
                needed: None,
            };
            lines.chunks.insert(id, entry);
            true
        });
    }

    pub(crate) fn add_manifest(&self, id: ManifestId, found: Found) {
        self.change(|lines| match lines.manifests.contains_key(&id) {
            true => false,
            false => lines.manifests.insert(id, found).is_none(),
        });
    }

    pub(crate) fn add_file(&self, id: FileId, found: Found) {
        self.change(|lines| match lines.files.contains_key(&id) {
            true => false,
            false => lines.files.insert(id, found).is_none(),
        });
    }

    pub(crate) fn chunk_is_whole(&self, id: &ChunkId) {
        if !self.is_empty() {
            self.change(|lines| lines.chunks.remove(id).is_some());
        }
    }

    pub(crate) fn manifest_is_whole(&self, id: &ManifestId) {
        if !self.is_empty() {
            self.change(|lines| lines.manifests.remove(id).is_some());
        }
    }

    pub(crate) fn file_is_whole(&self, id: &FileId) {
        if !self.is_empty() {
            self.change(|lines| lines.files.remove(id).is_some());
        }
    }

    pub(crate) fn has_chunk(&self, id: &ChunkId) -> bool {
        !self.is_empty() && self.inner().lines.chunks.contains_key(id)
    }

    /// Whether it is time to look who needs what was found since the last time.
    pub(crate) fn may_ask(&self, every: Duration) -> bool {
        let mut inner = self.inner();
        let may = inner.asked.is_none_or(|asked| asked.elapsed() >= every);
        if may {
            inner.asked = Some(Instant::now());
        }
        may
    }

    /// What was found before `since` and is not in `found` is no longer there, or nobody needs it.
    pub(crate) fn keep_only(&self, since: Timestamp, found: &Damaged) {
        if self.is_empty() {
            return;
        }
        self.change(|lines| {
            let before = lines.len();
            lines
                .chunks
                .retain(|id, entry| entry.found.at >= since || found.chunks.contains(id));
            lines
                .manifests
                .retain(|id, one| one.at >= since || found.manifests.contains(id));
            lines
                .files
                .retain(|id, one| one.at >= since || found.files.contains(id));
            lines.len() != before
        });
    }

    /// This content needs the chunk. Who else does is asked later.
    pub(crate) fn hint(&self, id: ChunkId, manifest: ManifestId) {
        let mut inner = self.inner();
        let unasked = |entry: &DamagedEntry| entry.needed.is_none();
        if inner.lines.chunks.get(&id).is_some_and(unasked) {
            inner.hints.insert(id, manifest);
        }
    }

    /// Chunks of which nobody has asked who needs them.
    pub(crate) fn unasked(&self) -> Vec<ChunkId> {
        if self.is_empty() {
            return Vec::new();
        }
        let inner = self.inner();
        let chunks = inner.lines.chunks.iter();
        chunks
            .filter(|(_, entry)| entry.needed.is_none())
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn set_needed(&self, needed: impl IntoIterator<Item = (ChunkId, Needed)>) {
        self.change(|lines| {
            let mut changed = false;
            for (id, needed) in needed {
                if let Some(entry) = lines.chunks.get_mut(&id) {
                    changed |= entry.needed.replace(needed.clone()) != Some(needed);
                }
            }
            changed
        });
    }

    pub(crate) fn by_content(&self) -> Damage {
        let mut damage = Damage::default();
        if self.is_empty() {
            return damage;
        }
        let inner = self.inner();
        for (chunk, entry) in &inner.lines.chunks {
            let needed = entry.needed.as_ref();
            let hint = inner.hints.get(chunk).filter(|_| needed.is_none());
            for id in needed.iter().flat_map(|needed| &needed.by).chain(hint) {
                let known = damage.manifests.remove(id);
                let all = ContentDamage::add(known, &entry.found, false);
                damage.manifests.insert(*id, all);
            }
            for id in needed.iter().flat_map(|needed| &needed.by_files) {
                let known = damage.files.remove(id);
                let all = ContentDamage::add(known, &entry.found, false);
                damage.files.insert(*id, all);
            }
        }
        for (id, found) in &inner.lines.manifests {
            let known = damage.manifests.remove(id);
            damage
                .manifests
                .insert(*id, ContentDamage::add(known, found, true));
        }
        for (id, found) in &inner.lines.files {
            let known = damage.files.remove(id);
            damage
                .files
                .insert(*id, ContentDamage::add(known, found, true));
        }
        damage
    }

    /// Writes what was found since the last time.
    pub(crate) fn save(&self) {
        let mut inner = self.inner();
        if inner.dirty {
            self.save_held(&mut inner);
        }
    }

    fn save_held(&self, inner: &mut Inner) {
        inner.saved = Some(Instant::now());
        match write_durably(&self.path, inner.lines.encode().as_bytes(), None) {
            Ok(()) => inner.dirty = false,
            // It is in memory, and the next change or the next status tries again.
            Err(error) => {
                warn!(error = %chain(&error), "could not write down what is damaged in the chunk store");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(at: i64, problem: &str) -> Found {
        Found {
            at: Timestamp::from_millis(at),
            problem: problem.to_owned(),
        }
    }

    #[test]
    fn what_was_found_is_there_after_a_restart_and_counted_by_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let chunks: Vec<ChunkId> = (0..3_u8).map(|n| ChunkId::of(&[n])).collect();
        let (one, other) = (ManifestId::of(b"one"), ManifestId::of(b"other"));
        let file = FileId::of(b"file");
        let ledger = Ledger::open(folder.path()).expect("a ledger");
        assert_eq!(ledger.by_content(), Damage::default());
        ledger.add_chunk(chunks[0], found(5, "bad"));
        ledger.add_chunk(chunks[0], found(9, "found again"));
        ledger.add_chunk(chunks[1], found(3, "worse"));
        ledger.add_chunk(chunks[2], found(4, "not asked"));
        ledger.add_manifest(other, found(7, "torn"));
        ledger.add_file(file, found(8, "gone"));
        assert_eq!(ledger.unasked().len(), 3);
        let needed = |by: &[ManifestId], by_files: &[FileId]| Needed {
            by: by.to_vec(),
            by_files: by_files.to_vec(),
        };
        ledger.set_needed([
            (chunks[0], needed(&[one, other], &[])),
            (chunks[1], needed(&[one], &[file])),
        ]);
        ledger.save();

        let ledger = Ledger::open(folder.path()).expect("a ledger");
        assert_eq!(ledger.unasked(), [chunks[2]]);
        let damage = ledger.by_content();
        let of_one = &damage.manifests[&one];
        assert_eq!((of_one.chunks, of_one.record), (2, false));
        assert_eq!((of_one.found, &*of_one.problem), (found(3, "").at, "worse"));
        let of_other = &damage.manifests[&other];
        assert_eq!((of_other.chunks, of_other.record), (1, true));
        assert_eq!(
            (of_other.found, &*of_other.problem),
            (found(5, "").at, "torn")
        );
        assert_eq!(
            (damage.files[&file].chunks, damage.files[&file].record),
            (1, true)
        );

        chunks.iter().for_each(|id| ledger.chunk_is_whole(id));
        ledger.manifest_is_whole(&other);
        ledger.file_is_whole(&file);
        ledger.save();
        let ledger = Ledger::open(folder.path()).expect("a ledger");
        assert_eq!(ledger.by_content(), Damage::default());
    }
}
