//! What of an image is here already: looked up, and then read and verified.

use std::sync::Arc;

use foghorn_chunk_store::{CaptureGuard, IndexError};
use foghorn_types::ChunkId;
use futures_util::{StreamExt, stream};

use super::Shared;
use super::meter::Meter;

/// Chunks that one thread reads and verifies in a row, and how many threads do.
const VERIFY: (usize, usize) = (32, 2);

/// Looks for chunks in the store.
pub(super) struct Held {
    pub shared: Arc<Shared>,
    pub guard: Arc<CaptureGuard>,
    pub meter: Arc<Meter>,
}

impl Held {
    /// Which of these are not here and whole. Those that are here are read and verified: what a
    /// node says that it holds was looked at there, not remembered.
    ///
    /// # Errors
    /// When they cannot be looked up.
    pub(super) async fn missing(&self, slice: &[ChunkId]) -> Result<Vec<ChunkId>, IndexError> {
        let (guard, ids) = (self.guard.clone(), slice.to_vec());
        let held = self.shared.disk.run(move |_| guard.contains(&ids)).await?;
        let (here, mut missing) = (slice.iter().zip(&held), Vec::new());
        let mut held = Vec::new();
        for (id, is_here) in here {
            if *is_here { &mut held } else { &mut missing }.push(*id);
        }
        let batches: Vec<Vec<ChunkId>> = held.chunks(VERIFY.0).map(<[_]>::to_vec).collect();
        let disk = self.shared.disk.clone();
        let verified = stream::iter(batches)
            .map(move |ids| {
                let disk = disk.clone();
                async move { disk.run(move |store| store.verify_chunks(ids)).await }
            })
            .buffered(VERIFY.1);
        let verified: Vec<_> = verified.collect().await;
        for (id, is_whole) in verified.into_iter().flatten() {
            match is_whole {
                true => self.meter.add_held(1),
                false => missing.push(id),
            }
        }
        Ok(missing)
    }
}
