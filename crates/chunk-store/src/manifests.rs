//! Manifests and the images that they are: `manifests/ID.manifest`, and `images/NUMBER` with the id
//! of its manifest. What an image was before stays under `images/NUMBER-ID` until it is dropped by
//! name. `manifests/ID.origin` is whatever the agent wants to remember of a manifest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use foghorn_image::{ChunkContent, DecodeManifestError, ManifestRoot};
use foghorn_types::{ChunkId, ImageId, ManifestId, PartId};

use crate::index::IndexError;
use crate::pack::sync_dir;
use crate::store::Store;

/// Chunks that are looked up in one transaction.
const BATCH: usize = 4096;

/// The image was not stored; whatever it was before, it still is.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum PutManifestError {
    #[error("the bytes are not a manifest")]
    Decode(#[from] DecodeManifestError),
    #[error("chunk {0} of the image is not in the store")]
    MissingChunk(ChunkId),
    #[error("could not write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("could not look up the image's chunks")]
    Index(#[from] IndexError),
    #[error("could not read a part of the manifest; it has to be sent before the manifest")]
    Part(#[from] ReadManifestError),
}

/// A manifest could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadManifestError {
    #[error("manifest {0} is not in the store")]
    NotFound(ManifestId),
    #[error("manifest {0} is damaged on disk")]
    Damaged(ManifestId),
    #[error("manifest {0} cannot be decoded")]
    Decode(ManifestId, #[source] DecodeManifestError),
    #[error("part {0} of a manifest is not in the store")]
    PartNotFound(PartId),
    #[error("part {0} of a manifest is damaged on disk")]
    PartDamaged(PartId),
    #[error("could not read {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The images of a store, as far as they can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadableManifests {
    /// As [`Store::manifests`] gives them.
    pub images: Vec<(ImageId, ManifestId)>,
    /// Files that name an image and no manifest any more, ascending.
    pub damaged: Vec<PathBuf>,
}

/// The images could not be listed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ListManifestsError {
    #[error("could not read {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} does not name a manifest", path = path.display())]
    Damaged { path: PathBuf },
}

/// The image may or may not be gone.
#[derive(Debug, thiserror::Error)]
#[error("could not remove {path}", path = path.display())]
pub struct DropImageError {
    path: PathBuf,
    source: io::Error,
}

/// The two directories.
#[derive(Debug)]
pub(crate) struct ManifestDir {
    manifests: PathBuf,
    images: PathBuf,
}

impl ManifestDir {
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let this = Self {
            manifests: store.join("manifests"),
            images: store.join("images"),
        };
        for dir in [&this.manifests, &this.images] {
            fs::create_dir_all(dir)?;
            remove_unfinished(dir)?;
        }
        // There is none before the first file.
        match remove_unfinished(&store.join("files")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(this)
    }

    fn path_of(&self, id: &ManifestId) -> PathBuf {
        self.manifests.join(format!("{id}.manifest"))
    }

    /// All manifests, whether an image names them or not, with the time they were written.
    pub(crate) fn list(&self) -> io::Result<Vec<(ManifestId, SystemTime)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.manifests)? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|name| name.strip_suffix(".manifest"))
                .and_then(|stem| stem.parse().ok());
            if let Some(id) = id {
                found.push((id, entry.metadata()?.modified()?));
            }
        }
        Ok(found)
    }

    fn origin_of(&self, id: &ManifestId) -> PathBuf {
        self.manifests.join(format!("{id}.origin"))
    }

    pub(crate) fn remove(&self, id: &ManifestId) -> io::Result<()> {
        fs::remove_file(self.path_of(id))?;
        match fs::remove_file(self.origin_of(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync_dir(&self.manifests)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.manifests
    }

    /// Where an earlier version of an image is named.
    fn kept(&self, image: ImageId, id: &ManifestId) -> PathBuf {
        self.images.join(format!("{image}-{id}"))
    }

    /// Keeps what the image is now under a name of its own, because it is about to become something
    /// else.
    fn keep_present(&self, image: ImageId, named: &Path, new: ManifestId) -> io::Result<()> {
        let present: Option<ManifestId> = match fs::read_to_string(named) {
            Ok(text) => text.parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match present.filter(|present| *present != new) {
            Some(present) => write_durably(
                &self.kept(image, &present),
                present.to_string().as_bytes(),
                None,
            ),
            None => Ok(()),
        }
    }

    /// Lets the grace of a manifest begin now, because its image is about to name it no longer: how
    /// long ago it was written says nothing about that. A manifest that is not there needs
    /// none.
    fn begin_grace(&self, id: &ManifestId) -> io::Result<()> {
        match File::open(self.path_of(id)) {
            Ok(file) => file
                .set_modified(SystemTime::now())
                .and_then(|()| file.sync_all()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Replaces a file in a directory of the store by `bytes`: it is the old one or the new one, never
/// anything between. `modified`: the time that it shall have, other than that of the file system's
/// clock, which ticks slowly.
pub(crate) fn write_durably(
    path: &Path,
    bytes: &[u8],
    modified: Option<SystemTime>,
) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = write_beside(&new, bytes, modified).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // A disk that is full stays as full with half a file that nobody wants.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    foghorn_faults::fail!("store.record.renamed")?;
    sync_dir(path.parent().expect("it lies in a directory of the store"))
}

fn write_beside(new: &Path, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    let mut file = File::create(new)?;
    file.write_all(bytes)?;
    if let Some(modified) = modified {
        file.set_modified(modified)?;
    }
    file.sync_all()?;
    foghorn_faults::fail!("store.record.before-rename")
}

/// Removes what a crash left in the folder of writes that nobody was told of.
pub(crate) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl Store {
    /// Makes `manifest` the contents of an image, durably. What the image was before is kept as a
    /// version of it until it is dropped. The parts that it names must be here. Memory does not
    /// depend on the number of entries.
    ///
    /// # Errors
    /// When the bytes are not a manifest, one of its parts or chunks is not here (or damaged), or
    /// the file system fails.
    pub fn put_manifest(
        &self,
        image: ImageId,
        manifest: &[u8],
    ) -> Result<ManifestId, PutManifestError> {
        let root = ManifestRoot::decode(&Bytes::copy_from_slice(manifest))?;
        let id = ManifestId::of(manifest);
        // No sweep may judge the chunks between the look at them and the manifest that keeps them.
        let _references = self
            .references
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.check_chunks(&root)?;
        let named = self.manifests.images.join(image.to_string());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PutManifestError::Io { path, source }
        };
        self.manifests
            .keep_present(image, &named, id)
            .map_err(failed(&named))?;
        let manifest_path = self.manifests.path_of(&id);
        write_durably(&manifest_path, manifest, None).map_err(failed(&manifest_path))?;
        foghorn_faults::fail!("store.manifest.not-named").map_err(failed(&named))?;
        // The time says whether a running capture has stored it: then it is not dropped.
        let now = SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(self.now().as_millis()).unwrap_or(0));
        write_durably(&named, id.to_string().as_bytes(), Some(now)).map_err(failed(&named))?;
        self.ledger.manifest_is_whole(&id);
        Ok(id)
    }

    /// Remembers where a manifest comes from, in the caller's words, as long as it is here.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn put_origin(&self, id: ManifestId, origin: &[u8]) -> Result<(), PutManifestError> {
        let _references = self
            .references
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let path = self.manifests.origin_of(&id);
        write_durably(&path, origin, None).map_err(|source| PutManifestError::Io { path, source })
    }

    /// What [`put_origin`](Self::put_origin) was told; `None` also when it cannot be read.
    #[must_use]
    pub fn origin(&self, id: ManifestId) -> Option<Vec<u8>> {
        fs::read(self.manifests.origin_of(&id)).ok()
    }

    /// Checks that every chunk of a manifest is here, whole, or elsewhere.
    fn check_chunks(&self, root: &ManifestRoot) -> Result<(), PutManifestError> {
        let mut batch = Vec::with_capacity(BATCH);
        root.walk(
            |part| self.read_part(part).map_err(PutManifestError::from),
            |entry| {
                if let ChunkContent::Data(id) = entry.content {
                    batch.push(id);
                }
                if batch.len() == BATCH {
                    self.check_present(&batch)?;
                    batch.clear();
                }
                Ok(())
            },
        )?;
        self.check_present(&batch)
    }

    fn check_present(&self, chunks: &[ChunkId]) -> Result<(), PutManifestError> {
        let present = self.contains(chunks)?;
        let is_lost =
            |(id, is_here): &(&ChunkId, bool)| !is_here && self.beyond.place(id).is_none();
        match chunks.iter().zip(present).find(is_lost) {
            Some((missing, _)) => Err(PutManifestError::MissingChunk(*missing)),
            None => Ok(()),
        }
    }

    /// The encoded manifest, checked against its id.
    ///
    /// # Errors
    /// See [`ReadManifestError`].
    pub fn read_manifest(&self, id: ManifestId) -> Result<Vec<u8>, ReadManifestError> {
        let path = self.manifests.path_of(&id);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ReadManifestError::NotFound(id),
            _ => ReadManifestError::Io { path, source },
        })?;
        if ManifestId::of(&bytes) == id {
            Ok(bytes)
        } else {
            let error = ReadManifestError::Damaged(id);
            self.note_manifest(id, &error);
            Err(error)
        }
    }

    /// The images that are here and what they are, ascending by image; an image of which earlier
    /// versions are kept is there several times.
    ///
    /// # Errors
    /// When the directory cannot be read or an entry is damaged.
    pub fn manifests(&self) -> Result<Vec<(ImageId, ManifestId)>, ListManifestsError> {
        let found = self.readable_manifests()?;
        match found.damaged.into_iter().next() {
            None => Ok(found.images),
            Some(path) => Err(ListManifestsError::Damaged { path }),
        }
    }

    /// The same, with the damaged entries apart: the other images are no worse for them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn readable_manifests(&self) -> Result<ReadableManifests, ListManifestsError> {
        let dir = &self.manifests.images;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ListManifestsError::Io { path, source }
        };
        let (mut images, mut damaged) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            let entry = entry.map_err(failed(dir))?;
            let Some(image) = entry.file_name().to_str().and_then(image_in) else {
                continue;
            };
            let path = entry.path();
            let text = match fs::read(&path) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                // Dropped since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path)(error)),
            };
            match text.parse() {
                Ok(manifest) => images.push((image, manifest)),
                Err(_) => damaged.push(path),
            }
        }
        images.sort_unstable();
        images.dedup();
        damaged.sort_unstable();
        Ok(ReadableManifests { images, damaged })
    }

    /// Forgets one version of an image. Its manifest and the chunks that nothing else needs go with
    /// the first sweep after their grace, which begins now. Returns whether it was there; what a
    /// capture that still runs has stored stays.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn drop_image(&self, image: ImageId, manifest: ManifestId) -> Result<bool, DropImageError> {
        let _references = self
            .references
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut dropped = false;
        for path in [
            self.manifests.kept(image, &manifest),
            self.manifests.images.join(image.to_string()),
        ] {
            let removed = self.drop_name(&path, manifest);
            dropped |= removed.map_err(|source| DropImageError { path, source })?;
        }
        Ok(dropped)
    }

    fn drop_name(&self, path: &Path, manifest: ManifestId) -> io::Result<bool> {
        match fs::read_to_string(path) {
            Ok(text) if text.parse() == Ok(manifest) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        let written = fs::metadata(path)?.modified()?;
        let written = written
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        if self.guards.oldest_capture().is_some_and(|began| {
            u128::try_from(began.as_millis()).is_ok_and(|began| written.as_millis() >= began)
        }) {
            return Ok(false);
        }
        foghorn_faults::fail!("store.image.before-drop")?;
        self.manifests.begin_grace(&manifest)?;
        fs::remove_file(path)?;
        foghorn_faults::fail!("store.image.dropped")?;
        sync_dir(&self.manifests.images)?;
        Ok(true)
    }
}

/// The image that a file in `images` is about: `NUMBER` or `NUMBER-MANIFEST`.
pub(crate) fn image_in(name: &str) -> Option<ImageId> {
    match name.split_once('-') {
        None => name.parse().ok(),
        Some((image, manifest)) => {
            let _: ManifestId = manifest.parse().ok()?;
            image.parse().ok()
        }
    }
}
