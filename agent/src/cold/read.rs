//! Chunks from the bucket: looked up, read through the cache, checked; waiting for a bucket that
//! does not answer.

use std::sync::Weak;
use std::time::Duration;

use foghorn_chunk_store::{ChunkProblem, Elsewhere, StoredChunk, verify_chunk};
use foghorn_types::{ChunkId, chain};
use tokio::time::Instant;
use tracing::{error, warn};

use super::index::Place;
use super::objects::{PackRef, chunk_in};
use super::packs::ReadPackError;
use super::{AGAIN, Cold, ColdIndexError};

/// Times that a pack of the cache is fetched again because its bytes on this disk are damaged.
const DAMAGED_HERE: usize = 3;

/// A chunk could not be had from the bucket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadColdError {
    #[error("chunk {0} is neither on this node nor whole in its bucket")]
    Lost(ChunkId),
    #[error("chunk {id} is only in the bucket, which could not be used for {}", human(*waited))]
    Waited {
        id: ChunkId,
        waited: Duration,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not look up where chunk {id} is in the bucket")]
    Index { id: ChunkId, source: ColdIndexError },
}

fn human(waited: Duration) -> String {
    match waited.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

impl ReadColdError {
    /// Whether the chunk is not there; otherwise nobody knows.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl Cold {
    /// How long a reader waits for a bucket that does not answer.
    pub(crate) fn patience(&self) -> Duration {
        self.config.patience
    }

    /// Whether the bucket has the chunk, as far as this node knows.
    pub(crate) fn has(&self, id: &ChunkId) -> bool {
        self.place(id).is_some()
    }

    fn place(&self, id: &ChunkId) -> Option<Place> {
        let found = self.index.place(id);
        found
            .inspect_err(|error| error!(error = %chain(error), "could not look up a chunk"))
            .ok()
            .flatten()
    }

    /// A chunk that was checked against what was written. Waits so long for the bucket, or until the
    /// program ends.
    pub(crate) async fn read(
        &self,
        id: ChunkId,
        patience: Option<Duration>,
    ) -> Result<StoredChunk, ReadColdError> {
        let (began, mut wait, mut damaged) = (Instant::now(), AGAIN.0, 0);
        loop {
            let failed = |source| ReadColdError::Index { id, source };
            let place = self.index.place(&id).map_err(failed)?;
            let place = place.ok_or(ReadColdError::Lost(id))?;
            let pack = self.index.pack(place.pack).map_err(failed)?;
            let pack = pack.ok_or(ReadColdError::Lost(id))?;
            let problem: Box<dyn std::error::Error + Send + Sync> = match self
                .packs
                .read(&self.bucket, pack, place.spot)
                .await
            {
                Ok(record) => match chunk_in(&record, id, place.spot) {
                    Some(compressed) => {
                        self.ahead.reads(place.pack);
                        return Ok(StoredChunk {
                            plain_len: place.spot.plain,
                            compressed,
                        });
                    }
                    None if damaged >= DAMAGED_HERE => {
                        self.lose(place.pack, pack).map_err(failed)?;
                        return Err(ReadColdError::Lost(id));
                    }
                    None => {
                        warn!(pack = %pack.id.hex(), "a pack is damaged in the cache; it is fetched again");
                        self.packs.forget(&pack.id);
                        damaged += 1;
                        continue;
                    }
                },
                Err(error) => match self.judge(error, place.pack, pack).await {
                    Ok(()) => return Err(ReadColdError::Lost(id)),
                    Err(problem) => problem,
                },
            };
            let waited = began.elapsed();
            if patience.is_some_and(|patience| waited + wait > patience) {
                return Err(ReadColdError::Waited {
                    id,
                    waited,
                    source: problem,
                });
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1 / 3);
        }
    }

    /// What an error says: `Ok` when the pack is lost, otherwise why it may yet be had.
    async fn judge(
        &self,
        error: ReadPackError,
        number: u32,
        pack: PackRef,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if matches!(error, ReadPackError::Io { .. }) {
            // Somebody has cleaned the folder, or the disk is full: it says nothing about the bucket.
            warn!(error = %chain(&error), "the cache of the bucket could not be used");
            self.packs.forget(&pack.id);
            return Err(error.into());
        }
        let is_lost = match &error {
            ReadPackError::Wrong { .. } => true,
            ReadPackError::Bucket(error) if error.is_not_found() => match self.probe().await {
                Ok(()) => true,
                Err(error) => {
                    self.fails(&error);
                    return Err(error.into());
                }
            },
            _ => false,
        };
        if !is_lost {
            self.fails(&error);
            return Err(error.into());
        }
        error!(error = %chain(&error), "a pack of the bucket is lost");
        Ok(self.lose(number, pack)?)
    }

    /// Its chunks are not in the bucket any more: whoever needs them finds them missing, and they
    /// are fetched from another node and brought there again.
    fn lose(&self, number: u32, pack: PackRef) -> Result<(), ColdIndexError> {
        let lost = self.index.lose(number)?;
        error!(
            object = pack.id.object(),
            chunks = lost,
            "chunks are not whole in the bucket; they are brought there again as soon as this node has them"
        );
        self.wake.notify_one();
        Ok(())
    }
}

/// What the chunk store asks. Does not keep the cold copies, which keep the store.
pub(super) struct Hook(pub(super) Weak<Cold>);

impl Elsewhere for Hook {
    fn place(&self, id: &ChunkId) -> Option<u64> {
        let place = self.0.upgrade()?.place(id)?;
        Some(u64::from(place.pack) << 32 | u64::from(place.spot.offset))
    }

    /// A bucket that does not answer says nothing about a chunk: this waits for it.
    fn check(&self, id: ChunkId) -> Option<ChunkProblem> {
        let cold = self.0.upgrade()?;
        let read = cold.cancel.run_until_cancelled(cold.read(id, None));
        match cold.runtime.block_on(read)? {
            Ok(chunk) => verify_chunk(id, chunk.plain_len, &chunk.compressed).err(),
            Err(error) if error.is_lost() => Some(ChunkProblem::Missing),
            Err(_) => Some(ChunkProblem::Unreadable),
        }
    }
}
