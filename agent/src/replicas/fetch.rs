//! Fetching chunks from one source: several lanes, each chunk verified and durable before it
//! counts, and no more in memory than a queue and two batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_chunk_store::{CaptureGuard, NewChunk, PutError};
use foghorn_transport::client::{Fetched, FetchedChunk};
use foghorn_transport::{AgentConnection, StreamError};
use foghorn_types::{ChunkId, chain};
use futures_util::future::join_all;
use futures_util::{StreamExt, pin_mut, stream};
use tokio::sync::mpsc;

use super::Shared;
use super::meter::Meter;

/// Streams that carry chunks at a time.
const LANES: usize = 4;
/// Chunks in a row on one lane, so that the disk of the source reads them in a row.
const RUN: usize = 16;
/// Chunks that are stored with one flush, and that wait for the next one.
const GATHER: usize = 16;
/// Batches under way: one is verified while the one before is flushed.
const BATCHES: usize = 2;

/// What came of a request for chunks.
#[derive(Default)]
pub(super) struct Outcome {
    /// Verified and durable.
    pub stored: BTreeSet<ChunkId>,
    /// What this source cannot give, and why.
    pub unavailable: Vec<(ChunkId, String)>,
    /// The connection has failed.
    pub broken: Option<String>,
}

/// What fetching works with.
#[derive(Clone)]
pub(super) struct Fetcher {
    pub shared: Arc<Shared>,
    pub guard: Arc<CaptureGuard>,
    pub meter: Arc<Meter>,
}

impl Fetcher {
    /// Fetches these chunks as far as the source has them.
    ///
    /// # Errors
    /// When this node cannot store them.
    pub(super) async fn fetch(
        &self,
        connection: &AgentConnection,
        wanted: &[ChunkId],
    ) -> Result<Outcome, PutError> {
        let mut shares = vec![Vec::new(); LANES.min(wanted.len().div_ceil(RUN))];
        for (nth, run) in wanted.chunks(RUN).enumerate() {
            let lanes = shares.len();
            shares[nth % lanes].extend_from_slice(run);
        }
        let (queue, received) = mpsc::channel(GATHER);
        let lanes = shares
            .into_iter()
            .map(|ids| self.lane(connection, ids, queue.clone()))
            .collect::<Vec<_>>();
        drop(queue);
        let (lanes, stored) = tokio::join!(join_all(lanes), self.store_all(received));
        let mut outcome = stored?;
        for lane in lanes {
            match lane {
                Ok(unavailable) => outcome.unavailable.extend(unavailable),
                Err(error) => outcome.broken = Some(chain(&error).to_string()),
            }
        }
        Ok(outcome)
    }

    async fn lane(
        &self,
        connection: &AgentConnection,
        ids: Vec<ChunkId>,
        queue: mpsc::Sender<FetchedChunk>,
    ) -> Result<Vec<(ChunkId, String)>, StreamError> {
        let (mut requests, mut chunks) = connection.fetch_lane().await?;
        requests.request(&ids).await?;
        drop(requests);
        let mut unavailable = Vec::new();
        while let Some(fetched) = chunks.next().await {
            match fetched? {
                Fetched::Unavailable { id, reason } => unavailable.push((id, reason)),
                Fetched::Chunk(chunk) => {
                    let bytes = chunk.compressed.len() as u64;
                    self.shared.fetching.take(bytes).await;
                    self.meter.add_bytes(bytes);
                    // Storing has failed; the other half says why.
                    if queue.send(chunk).await.is_err() {
                        break;
                    }
                }
            }
        }
        Ok(unavailable)
    }

    async fn store_all(&self, queue: mpsc::Receiver<FetchedChunk>) -> Result<Outcome, PutError> {
        let batches = stream::unfold(queue, async |mut queue| {
            let mut batch = Vec::with_capacity(GATHER);
            (queue.recv_many(&mut batch, GATHER).await > 0).then_some((batch, queue))
        });
        let stored = batches.map(|batch| self.store(batch)).buffered(BATCHES);
        pin_mut!(stored);
        let mut outcome = Outcome::default();
        while let Some(done) = stored.next().await {
            let (ids, refused) = done?;
            self.meter.add_stored(ids.len() as u64);
            self.shared.healing.stored();
            outcome.stored.extend(ids);
            outcome.unavailable.extend(refused);
        }
        Ok(outcome)
    }

    /// Stores a batch. A chunk that is not what its name says is left out and named.
    async fn store(
        &self,
        batch: Vec<FetchedChunk>,
    ) -> Result<(Vec<ChunkId>, Vec<(ChunkId, String)>), PutError> {
        let guard = self.guard.clone();
        let stored = self.shared.disk.run(move |_| {
            let mut chunks: Vec<NewChunk> = batch.into_iter().map(to_new).collect();
            let mut refused = Vec::new();
            loop {
                match guard.put_batch(&chunks) {
                    Ok(_) => return Ok((chunks.iter().map(|chunk| chunk.id).collect(), refused)),
                    Err(PutError::Invalid { id, problem }) => {
                        chunks.retain(|chunk| chunk.id != id);
                        refused.push((id, format!("it sent chunk {id} damaged: {problem}")));
                    }
                    Err(error) => return Err(error),
                }
            }
        });
        stored.await
    }
}

fn to_new(chunk: FetchedChunk) -> NewChunk {
    NewChunk {
        id: chunk.id,
        plain_len: chunk.plain_len,
        compressed: chunk.compressed,
    }
}
