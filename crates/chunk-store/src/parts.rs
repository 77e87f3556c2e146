//! Parts of large manifests: `parts/ID.part`. They come before the manifest that names them, and go
//! with the first sweep after it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use foghorn_image::{ChunkContent, ChunkEntry, DecodeManifestError, ManifestRoot};
use foghorn_types::{ChunkId, ManifestId, PartId, Timestamp};

use crate::manifests::{ReadManifestError, remove_unfinished, write_durably};
use crate::pack::sync_dir;
use crate::put::PutError;
use crate::store::Store;

/// A part was not stored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum PutPartError {
    #[error("there is no room for a part of a manifest")]
    Space(#[from] PutError),
    #[error("could not write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Distinct chunks of a manifest that are in memory at a time; with what is gathered meanwhile,
/// 64 MiB.
const PAGE: usize = 1 << 20;

/// The directory.
#[derive(Debug)]
pub(crate) struct PartDir {
    path: PathBuf,
    /// Held while a part is looked for and kept, or judged and removed.
    turn: Mutex<()>,
}

impl PartDir {
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let path = store.join("parts");
        fs::create_dir_all(&path)?;
        remove_unfinished(&path)?;
        Ok(Self {
            path,
            turn: Mutex::new(()),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, id: &PartId) -> PathBuf {
        self.path.join(format!("{id}.part"))
    }

    /// Removes the parts that are not `needed` and were put before `cutoff`. What has another name
    /// than a part stays. Returns how many went.
    pub(crate) fn sweep(&self, needed: &HashSet<PartId>, cutoff: Timestamp) -> io::Result<u64> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".part"));
            let Some(id) = stem.and_then(|stem| stem.parse().ok()) else {
                continue;
            };
            if needed.contains(&id) {
                continue;
            }
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if fs::metadata(entry.path())?.modified()? < system_time(cutoff) {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        if removed > 0 {
            sync_dir(&self.path)?;
        }
        Ok(removed)
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let millis = u64::try_from(time.as_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// Why a walk through a manifest of the store stopped.
enum StopWalk {
    Read(ReadManifestError),
    Decode(DecodeManifestError),
}

impl From<DecodeManifestError> for StopWalk {
    fn from(error: DecodeManifestError) -> Self {
        Self::Decode(error)
    }
}

impl Store {
    /// Stores a part of a manifest that comes later, durably. Returns its id and whether it is new.
    /// It stays at least as long as a chunk that was put now.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn put_part(&self, bytes: &[u8]) -> Result<(PartId, bool), PutPartError> {
        let id = PartId::of(bytes);
        let path = self.parts.path_of(&id);
        let failed = |source| PutPartError::Io {
            path: path.clone(),
            source,
        };
        let _turn = self
            .parts
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = system_time(self.now());
        // One that is damaged is written anew.
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            let file = File::open(&path).map_err(failed)?;
            file.set_modified(now)
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
            return Ok((id, false));
        }
        self.check_space(bytes.len() as u64, self.options.keep_free)?;
        write_durably(&path, bytes, Some(now)).map_err(failed)?;
        Ok((id, true))
    }

    /// A part, checked against its id.
    ///
    /// # Errors
    /// See [`ReadManifestError`].
    pub fn read_part(&self, id: PartId) -> Result<Bytes, ReadManifestError> {
        let path = self.parts.path_of(&id);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ReadManifestError::PartNotFound(id),
            _ => ReadManifestError::Io { path, source },
        })?;
        if PartId::of(&bytes) == id {
            Ok(bytes.into())
        } else {
            Err(ReadManifestError::PartDamaged(id))
        }
    }

    /// Reads a manifest without its entries.
    ///
    /// # Errors
    /// See [`ReadManifestError`].
    pub fn manifest_root(&self, id: ManifestId) -> Result<ManifestRoot, ReadManifestError> {
        let encoded = Bytes::from(self.read_manifest(id)?);
        ManifestRoot::decode(&encoded).map_err(|source| ReadManifestError::Decode(id, source))
    }

    /// Goes through all entries of a manifest, one part in memory at a time.
    ///
    /// # Errors
    /// See [`ReadManifestError`].
    pub fn walk_manifest(
        &self,
        id: ManifestId,
        root: &ManifestRoot,
        mut each: impl FnMut(ChunkEntry),
    ) -> Result<(), ReadManifestError> {
        let walked = root.walk(
            |part| self.read_part(part).map_err(StopWalk::Read),
            |entry| {
                each(entry);
                Ok(())
            },
        );
        let walked = walked.map_err(|stop| match stop {
            StopWalk::Read(error) => error,
            StopWalk::Decode(source) => ReadManifestError::Decode(id, source),
        });
        walked.inspect_err(|error| self.note_manifest(id, error))
    }

    /// Gives the distinct data chunks of a manifest to `each`, ascending, so many at a time that
    /// memory does not depend on their number: the manifest is read once for each million. Returns
    /// whether `each` stopped it.
    ///
    /// # Errors
    /// See [`ReadManifestError`].
    pub fn distinct_pages(
        &self,
        id: ManifestId,
        root: &ManifestRoot,
        mut each: impl FnMut(&[ChunkId]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadManifestError> {
        let mut after = None;
        loop {
            let mut page = Page::new(PAGE, after);
            self.walk_manifest(id, root, |entry| {
                if let ChunkContent::Data(id) = entry.content {
                    page.add(id);
                }
            })?;
            let (ids, is_last) = page.finish();
            if ids.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            if each(&ids).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if is_last {
                return Ok(ControlFlow::Continue(()));
            }
            after = ids.last().copied();
        }
    }
}

/// The smallest ids of many, however many there are and whatever their order.
struct Page {
    size: usize,
    after: Option<ChunkId>,
    /// Greater ones do not belong to this page.
    bound: Option<ChunkId>,
    ids: Vec<ChunkId>,
}

impl Page {
    fn new(size: usize, after: Option<ChunkId>) -> Self {
        Self {
            size,
            after,
            bound: None,
            ids: Vec::new(),
        }
    }

    fn add(&mut self, id: ChunkId) {
        if Some(id) <= self.after || self.bound.is_some_and(|bound| id > bound) {
            return;
        }
        self.ids.push(id);
        if self.ids.len() >= 2 * self.size {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.ids.sort_unstable();
        self.ids.dedup();
        if self.ids.len() > self.size {
            self.ids.truncate(self.size);
            self.bound = self.ids.last().copied();
        }
    }

    /// The ids, and whether there are no greater ones.
    fn finish(mut self) -> (Vec<ChunkId>, bool) {
        self.cut();
        (self.ids, self.bound.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_every_id_once_in_order() {
        let ids: Vec<ChunkId> = (0..1000_u32)
            .map(|number| ChunkId::of(&(number % 700).to_le_bytes()))
            .collect();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let mut page = Page::new(64, after);
            ids.iter().for_each(|id| page.add(*id));
            assert!(page.ids.len() < 128);
            let (page, is_last) = page.finish();
            assert!(page.len() <= 64);
            after = page.last().copied();
            found.extend(page);
            if is_last {
                break;
            }
        }
        let mut expected = ids;
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(found, expected);
    }
}
