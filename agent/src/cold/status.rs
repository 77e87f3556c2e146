//! What the controller is told of the cold copies.

use foghorn_proto::link::{ColdImage, ColdStatus};
use foghorn_types::chain;
use tracing::warn;

use super::{Cold, ColdError};

/// Images named: messages are limited to 4 MiB.
const NAMED: usize = 5_000;
/// Bytes of a reason.
const REASON: usize = 1000;

impl Cold {
    /// Blocking.
    pub(crate) fn status(&self) -> ColdStatus {
        let images = self.report_images().unwrap_or_else(|error| {
            warn!(error = %chain(&error), "could not say how the cold copies are");
            Vec::new()
        });
        let (bucket_bytes, _) = self.index.size().unwrap_or_default();
        let (cache_bytes, _) = self.packs.size();
        let trouble = self.state().trouble.clone();
        ColdStatus {
            bucket: self.bucket.name().to_owned(),
            prefix: self.bucket.prefix().to_owned(),
            problem: trouble
                .as_ref()
                .map(|trouble| trouble.problem.chars().take(REASON).collect())
                .unwrap_or_default(),
            problem_since_ms: trouble.map_or(0, |trouble| trouble.since.as_millis()),
            bucket_bytes,
            cache_bytes,
            limit_bytes: self.config.cache.bytes(),
            images,
        }
    }

    fn report_images(&self) -> Result<Vec<ColdImage>, ColdError> {
        let known = self.index.images()?;
        let named = self.named()?;
        let state = self.state();
        let images = named.into_iter().take(NAMED).map(|version| {
            let known = known.get(&version).copied();
            let mut image = ColdImage {
                image_id: version.image.get(),
                manifest_id: version.manifest.as_bytes().to_vec(),
                away: known.is_some_and(|known| known.away),
                ..ColdImage::default()
            };
            match known.filter(|known| known.whole) {
                Some(known) => {
                    image.complete = true;
                    (image.verified, image.total) = (known.chunks, known.chunks);
                }
                None => {
                    let progress = state.progress.get(&version).cloned().unwrap_or_default();
                    (image.verified, image.total) = (progress.verified, progress.total);
                    image.problem = progress.problem.chars().take(REASON).collect();
                }
            }
            image
        });
        Ok(images.collect())
    }
}
