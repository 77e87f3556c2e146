//! Deleting in the bucket: what was ordered to be deleted, after its grace, and nothing else.

use std::sync::Arc;

use foghorn_types::{ChunkId, Timestamp};
use tracing::info;

use super::index::Needed;
use super::objects::{ImageObject, Version};
use super::{Cold, ColdError};

impl Cold {
    pub(super) async fn remove(self: &Arc<Self>) -> Result<(), ColdError> {
        let due = self.blocking(|cold| cold.due(Timestamp::now())).await?;
        if !due.is_empty() {
            let needed = self.needed(&due).await?;
            foghorn_faults::wait!("agent.cold.before-removal");
            self.blocking(move |cold| Ok(cold.index.doom(&due, &needed)?))
                .await?;
        }
        let doomed = self.blocking(|cold| Ok(cold.index.doomed()?)).await?;
        for object in doomed {
            self.bucket.delete(&object).await?;
            foghorn_faults::wait!("agent.cold.object-deleted");
            info!(object, "deleted in the bucket");
            self.blocking(move |cold| Ok(cold.index.not_doomed(&object)?))
                .await?;
        }
        Ok(())
    }

    /// Versions whose grace is over. What is an image of this node again is none of them.
    fn due(&self, now: Timestamp) -> Result<Vec<Version>, ColdError> {
        let mut due = Vec::new();
        let dropped = self.index.dropped()?;
        if dropped.is_empty() {
            return Ok(due);
        }
        let named = self.named()?;
        for (version, at) in dropped {
            if at + self.grace > now || self.store.is_pinned(version.manifest) {
                continue;
            }
            if named.contains(&version) {
                self.index.take_back(version)?;
            } else {
                due.push(version);
            }
        }
        Ok(due)
    }

    /// The chunks of everything that stays.
    async fn needed(self: &Arc<Self>, due: &[Version]) -> Result<Needed, ColdError> {
        let mut stay = self
            .blocking(|cold| {
                let mut stay = cold.named()?;
                stay.extend(cold.index.images()?.into_keys());
                Ok(stay)
            })
            .await?;
        stay.retain(|version| !due.contains(version));
        let mut needed = Needed::default();
        for version in stay {
            let here = self.blocking(move |cold| cold.chunks_of(version)).await;
            match here {
                Ok(ids) => ids.iter().for_each(|id| needed.add(id)),
                // Its list of chunks is gone here, but for the one in the bucket.
                Err(ColdError::Manifest(_)) => match self.object_of(version).await {
                    Ok(object) => {
                        let ids = object.chunks.iter();
                        let ids = ids.map(|chunk| ChunkId::from_digest(chunk.id));
                        ids.for_each(|id| needed.add(&id));
                    }
                    // Then nobody can find its chunks by it.
                    Err(ColdError::Bucket(error)) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        needed.sort();
        Ok(needed)
    }

    pub(super) async fn object_of(&self, version: Version) -> Result<ImageObject, ColdError> {
        let object = version.object();
        let bytes = self.bucket.get(&object).await?;
        ImageObject::decode(&bytes, version.manifest).map_err(|source| ColdError::Object {
            object,
            bucket: self.bucket.name().to_owned(),
            source,
        })
    }
}
