//! Images that are being deployed, read once for all clients of the same manifest.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use foghorn_chunk_store::{ManifestPin, ReadManifestError};
use foghorn_image::{ChunkContent, DecodeManifestError, Manifest};
use foghorn_types::{ChunkId, ManifestId};
use tokio::sync::Mutex as AsyncMutex;

use crate::disk::Disk;

/// A manifest as clients get it, and the chunks that it allows them to have.
pub(crate) struct ServedImage {
    pub(crate) encoded: Bytes,
    manifest: ManifestId,
    /// Ascending, each once.
    chunks: Vec<ChunkId>,
    /// The sweep leaves the chunks alone as long as somebody is served from them, whatever becomes of the image.
    _pin: ManifestPin,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadImageError {
    #[error("this node cannot read manifest {0}")]
    Read(ManifestId, #[source] ReadManifestError),
    #[error("manifest {0} on this node cannot be decoded")]
    Decode(ManifestId, #[source] DecodeManifestError),
}

impl ServedImage {
    fn new(manifest: ManifestId, encoded: Vec<u8>, pin: ManifestPin) -> Result<Self, LoadImageError> {
        let decoded = Manifest::decode(&encoded).map_err(|source| LoadImageError::Decode(manifest, source))?;
        Ok(Self { encoded: encoded.into(), manifest, chunks: unique_chunks(&decoded), _pin: pin })
    }

    /// The different chunks in the order in which a disk first needs them: a chunk's place is its number in a multicast
    /// session. Decodes the manifest once more, so this belongs on a blocking thread.
    ///
    /// # Errors
    /// Never for a manifest that was served; it was decoded before.
    pub(crate) fn in_disk_order(&self) -> Result<Vec<ChunkId>, LoadImageError> {
        let decoded =
            Manifest::decode(&self.encoded).map_err(|source| LoadImageError::Decode(self.manifest, source))?;
        let mut seen = HashSet::with_capacity(self.chunks.len());
        let data = decoded.chunks.iter().filter_map(|chunk| match chunk.content {
            ChunkContent::Data(id) => Some(id),
            ChunkContent::Zero => None,
        });
        Ok(data.filter(|id| seen.insert(*id)).collect())
    }

    pub(crate) fn has(&self, id: &ChunkId) -> bool {
        self.chunks.binary_search(id).is_ok()
    }
}

/// The different chunks of an image, ascending.
pub(crate) fn unique_chunks(manifest: &Manifest) -> Vec<ChunkId> {
    let mut ids: Vec<ChunkId> = manifest
        .chunks
        .iter()
        .filter_map(|chunk| match chunk.content {
            ChunkContent::Data(id) => Some(id),
            ChunkContent::Zero => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Shares a [`ServedImage`] between the sessions that serve it, and forgets it with the last of them.
pub(crate) struct ServedImages {
    disk: Disk,
    images: Mutex<HashMap<ManifestId, Weak<ServedImage>>>,
    /// One load at a time: eight clients that start together must not hold eight copies.
    loading: AsyncMutex<()>,
}

impl ServedImages {
    pub(crate) fn new(disk: Disk) -> Self {
        Self { disk, images: Mutex::default(), loading: AsyncMutex::default() }
    }

    /// # Errors
    /// When the node does not hold the manifest, or it is damaged.
    pub(crate) async fn get(&self, manifest: ManifestId) -> Result<Arc<ServedImage>, LoadImageError> {
        let _turn = self.loading.lock().await;
        if let Some(image) = self.present(manifest) {
            return Ok(image);
        }
        // Before the manifest is read: what is there then stays.
        let pin = self.disk.store().pin_manifest(manifest);
        let load = move |store: &foghorn_chunk_store::Store| {
            let encoded = store.read_manifest(manifest).map_err(|source| LoadImageError::Read(manifest, source))?;
            ServedImage::new(manifest, encoded, pin)
        };
        let image = Arc::new(self.disk.run(load).await?);
        let mut images = self.images.lock().expect("no code panics while it holds the images");
        images.retain(|_, image| image.strong_count() > 0);
        images.insert(manifest, Arc::downgrade(&image));
        Ok(image)
    }

    fn present(&self, manifest: ManifestId) -> Option<Arc<ServedImage>> {
        self.images.lock().expect("no code panics while it holds the images").get(&manifest)?.upgrade()
    }
}
