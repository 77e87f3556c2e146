//! Keeping to the limit of the disk: of what is in the bucket, only what came to this node last stays
//! in the chunk store. Packs that are read again have a limit of their own.

use std::collections::HashSet;
use std::sync::Arc;

use foghorn_types::ByteCount;
use tracing::{info, warn};

use super::index::Known;
use super::objects::Version;
use super::{Cold, ColdError};

impl Cold {
    /// Takes chunks off the disk, of the images first that are in the bucket for the longest time.
    pub(super) async fn keep_to_limit(self: &Arc<Self>) -> Result<(), ColdError> {
        let keep = self.config.keep.bytes();
        let (local, mut candidates) = self
            .blocking(|cold| Ok((cold.store.pack_bytes().bytes(), cold.evictable()?)))
            .await?;
        candidates.sort_by_key(|(_, known)| (known.away, known.turn));
        let mut left = local;
        for (version, _) in candidates {
            if left <= keep {
                break;
            }
            // The store may have lost it since, and a bucket that does not answer gives nothing back.
            if self.bucket.size(&version.object()).await?.is_none() {
                self.forget_object(version).await?;
                continue;
            }
            left = self.evict(version, left).await?;
        }
        Ok(())
    }

    /// Images that are whole in the bucket and named here.
    fn evictable(&self) -> Result<Vec<(Version, Known)>, ColdError> {
        let named = self.named()?;
        let known = self.index.images()?.into_iter();
        let fits = |(version, known): &(Version, Known)| {
            known.whole && named.contains(version) && !self.store.is_pinned(version.manifest)
        };
        Ok(known.filter(fits).collect())
    }

    /// Its object is gone, so that an empty node would not find it: it is written again.
    async fn forget_object(self: &Arc<Self>, version: Version) -> Result<(), ColdError> {
        self.probe().await?;
        warn!(
            object = version.object(),
            "an object is gone from the bucket; it is written again"
        );
        self.blocking(move |cold| Ok(cold.index.set_not_whole(version)?))
            .await
    }

    /// Returns what the packs of the store take then.
    async fn evict(self: &Arc<Self>, version: Version, before: u64) -> Result<u64, ColdError> {
        foghorn_faults::wait!("agent.cold.before-evict");
        let report = self
            .blocking(move |cold| {
                // Remembered first: what is said to be away may be here, and not the reverse.
                cold.index.set_away(version)?;
                let known = cold.index.images()?.into_iter();
                let away: HashSet<_> = known
                    .filter(|(_, known)| known.away && known.whole)
                    .map(|(version, _)| version.manifest)
                    .collect();
                Ok(cold.store.evict(version.manifest, &away)?)
            })
            .await?;
        foghorn_faults::wait!("agent.cold.evicted");
        let after = self
            .blocking(|cold| Ok(cold.store.pack_bytes().bytes()))
            .await?;
        if report.removed_chunks > 0 {
            info!(
                image = %version.image,
                chunks = report.removed_chunks,
                freed = %ByteCount::from_bytes(before.saturating_sub(after)),
                "chunks that are in the bucket left the disk"
            );
        }
        Ok(after)
    }
}
