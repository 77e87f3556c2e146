//! An empty node holds what its bucket holds: lists of chunks come back, and chunks when they are
//! needed.

use std::sync::Arc;

use tracing::{info, warn};

use super::objects::{IMAGES, ImageObject, Version};
use super::{Cold, ColdError};

impl Cold {
    /// Makes an image of this node whatever is whole in the bucket and was not ordered to be deleted.
    pub(super) async fn restore(self: &Arc<Self>) -> Result<(), ColdError> {
        let names = self.bucket.list(IMAGES).await?;
        let (named, known, dropped) = self
            .blocking(|cold| {
                let gone = (cold.index.dropped()?, cold.index.doomed()?);
                Ok((cold.named()?, cold.index.images()?, gone))
            })
            .await?;
        let (dropped, doomed) = dropped;
        let mut found = Vec::new();
        for name in names {
            let Some(version) = Version::from_name(&name) else {
                warn!(name, "an object in the bucket is not one of ours");
                continue;
            };
            let is_known = known.get(&version).is_some_and(|known| known.whole);
            let is_gone = dropped.contains_key(&version) || doomed.contains(&version.object());
            if is_gone || (is_known && named.contains(&version)) {
                continue;
            }
            match self.object_of(version).await {
                Ok(object) => found.push((version, object)),
                // The others are no worse for it.
                Err(error @ ColdError::Object { .. }) => self.fails(&error),
                Err(error) => return Err(error),
            }
        }
        // The version that was captured last becomes the present one.
        found.sort_by_key(|(_, object)| captured(object));
        for (version, object) in found {
            let is_here = named.contains(&version);
            self.blocking(move |cold| cold.take_in(version, &object, is_here))
                .await?;
            foghorn_faults::wait!("agent.cold.restored");
        }
        Ok(())
    }

    fn take_in(
        &self,
        version: Version,
        object: &ImageObject,
        is_here: bool,
    ) -> Result<(), ColdError> {
        self.index.import(version, object)?;
        if is_here {
            return Ok(());
        }
        for part in &object.parts {
            self.store.put_part(part)?;
        }
        self.store.put_manifest(version.image, &object.manifest)?;
        if let Some(origin) = &object.origin {
            self.store.put_origin(version.manifest, origin)?;
        }
        info!(image = %version.image, chunks = object.chunks.len(), "an image came back from the bucket");
        Ok(())
    }
}

/// When it was captured, as the agent keeps it; 0: not known.
fn captured(object: &ImageObject) -> i64 {
    let origin = object.origin.as_deref().unwrap_or_default();
    let origin: Option<serde_json::Value> = serde_json::from_slice(origin).ok();
    let at = origin.and_then(|origin| origin.get("captured_unix_ms")?.as_i64());
    at.unwrap_or(0)
}
