//! Images that are being deployed, read once for all clients of the same manifest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use foghorn_chunk_store::{ManifestPin, ReadManifestError, Store};
use foghorn_image::{DecodeManifestError, DistinctChunks, ManifestRoot, Numbering};
use foghorn_types::{ManifestId, PartId};
use tokio::sync::Mutex as AsyncMutex;

use crate::disk::Disk;

/// A manifest as clients get it, and the chunks that it allows them to have. Its parts are read when
/// they are asked for.
pub(crate) struct ServedImage {
    pub(crate) manifest: ManifestId,
    pub(crate) encoded: Bytes,
    /// What the manifest names as its parts, in order.
    pub(crate) parts: Vec<PartId>,
    pub(crate) chunks: DistinctChunks,
    /// The sweep leaves the chunks alone as long as somebody is served from them, whatever becomes
    /// of the image.
    _pin: ManifestPin,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadImageError {
    #[error("could not read manifest {0}")]
    Read(ManifestId, #[source] ReadManifestError),
    #[error("could not decode manifest {0}")]
    Decode(ManifestId, #[source] DecodeManifestError),
}

impl ServedImage {
    fn load(store: &Store, manifest: ManifestId, pin: ManifestPin) -> Result<Self, LoadImageError> {
        let failed = |source| LoadImageError::Read(manifest, source);
        let encoded = Bytes::from(store.read_manifest(manifest).map_err(failed)?);
        let root = ManifestRoot::decode(&encoded)
            .map_err(|source| LoadImageError::Decode(manifest, source))?;
        let mut numbering = Numbering::default();
        store
            .walk_manifest(manifest, &root, |entry| numbering.add(&entry))
            .map_err(failed)?;
        Ok(Self {
            manifest,
            parts: root.parts().iter().map(|part| part.id).collect(),
            encoded,
            chunks: numbering.finish(),
            _pin: pin,
        })
    }
}

/// Shares a [`ServedImage`] between the sessions that serve it, and forgets it with the last of
/// them.
pub(crate) struct ServedImages {
    disk: Disk,
    images: Mutex<HashMap<ManifestId, Weak<ServedImage>>>,
    /// One load at a time: eight clients that start together must not hold eight copies.
    loading: AsyncMutex<()>,
}

impl ServedImages {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            images: Mutex::default(),
            loading: AsyncMutex::default(),
        }
    }

    /// # Errors
    /// When the node does not hold the manifest, or it is damaged.
    pub(crate) async fn get(
        &self,
        manifest: ManifestId,
    ) -> Result<Arc<ServedImage>, LoadImageError> {
        let _turn = self.loading.lock().await;
        if let Some(image) = self.present(manifest) {
            return Ok(image);
        }
        // Before the manifest is read: what is there then stays.
        let pin = self.disk.store().pin_manifest(manifest);
        let load = move |store: &Store| ServedImage::load(store, manifest, pin);
        let image = Arc::new(self.disk.run(load).await?);
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.retain(|_, image| image.strong_count() > 0);
        images.insert(manifest, Arc::downgrade(&image));
        Ok(image)
    }

    fn present(&self, manifest: ManifestId) -> Option<Arc<ServedImage>> {
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&manifest)?
            .upgrade()
    }
}
