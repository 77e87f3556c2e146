//! Deploys: the manifest and exactly its chunks, as they lie on disk.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use foghorn_chunk_store::StoredChunk;
use foghorn_transport::StreamError;
use foghorn_transport::server::{
    ChunkSender, FetchLane, ManifestReply, MulticastLane, PartReply, WantedChunks,
};
use foghorn_types::{ChunkId, ImageId, TaskId, chain};
use futures_util::{Stream, StreamExt, TryStreamExt, pin_mut, stream};
use tracing::{error, info, warn};

use super::Sessions;
use super::budget::{Hold, SessionBudget};
use super::order::SessionOrder;
use super::progress::Meter;
use crate::disk::ReadError;
use crate::healing;
use crate::multicast::{MulticastTerms, SessionLimit};
use crate::served_image::ServedImage;

/// Chunks of one lane that are read before they are needed. Four hide a disk's latency; more would
/// only sit in memory.
const READ_AHEAD: usize = 4;
/// Room that is taken before the size of a chunk is known: the most it can have.
const LARGEST_CHUNK: usize = (1 << 20) + (8 << 10);
/// Chunks that could not be given are remembered by name up to this many per session.
const REMEMBERED: usize = 16;

/// Serves one session's image.
#[derive(Clone)]
pub(super) struct Deploy {
    sessions: Arc<Sessions>,
    task: TaskId,
    /// That of its multicast session, if it has one.
    limit: Option<SessionLimit>,
    /// Of the image.
    number: ImageId,
    image: Arc<ServedImage>,
    meter: Arc<Meter>,
    budget: SessionBudget,
}

/// One chunk on its way from disk to network.
struct Reading {
    id: ChunkId,
    /// Or why it cannot be had, for people.
    chunk: Result<StoredChunk, String>,
    _hold: Hold,
}

impl Deploy {
    pub(super) fn new(
        sessions: Arc<Sessions>,
        order: &SessionOrder,
        image: Arc<ServedImage>,
        meter: Arc<Meter>,
    ) -> Self {
        let budget = sessions.read_ahead.for_session();
        Self {
            sessions,
            task: order.task,
            limit: order.limit,
            number: order.image,
            image,
            meter,
            budget,
        }
    }

    pub(super) async fn send_manifest(self, reply: ManifestReply) -> Result<(), StreamError> {
        self.meter.add_wire(self.image.encoded.len() as u64);
        reply.send(self.image.encoded.clone()).await
    }

    pub(super) async fn send_part(self, number: u32, reply: PartReply) -> Result<(), StreamError> {
        let Some(id) = self.image.parts.get(number as usize).copied() else {
            return reply.refuse("the manifest has no such part").await;
        };
        match self
            .sessions
            .disk
            .run(move |store| store.read_part(id))
            .await
        {
            Ok(part) => {
                self.meter.add_wire(part.len() as u64);
                reply.send(part).await
            }
            Err(problem) => {
                let problem = chain(&problem).to_string();
                error!(error = problem, "a part of a manifest cannot be served");
                reply.refuse(&problem).await
            }
        }
    }

    /// Lets the client into the multicast session of its task.
    pub(super) async fn join_multicast(
        self,
        lane: MulticastLane,
        terms: Option<MulticastTerms>,
        local: Option<IpAddr>,
    ) -> Result<(), StreamError> {
        let Some(terms) = terms else {
            return lane
                .notices
                .refuse("this task has no multicast session")
                .await;
        };
        self.sessions
            .multicasts
            .serve(lane, &terms, &self.image, self.task, local)
            .await
    }

    /// Sends what the client asks for, in its order, reading a little ahead.
    pub(super) async fn serve_lane(self, lane: FetchLane) -> Result<(), StreamError> {
        let FetchLane { wanted, mut chunks } = lane;
        let asked = AtomicU64::new(0);
        let reads = ids(wanted)
            .and_then(|id| std::future::ready(self.allow(id)))
            .map_ok(|id| {
                asked.fetch_add(1, Ordering::Relaxed);
                self.read(id)
            })
            .try_buffered(READ_AHEAD);
        pin_mut!(reads);
        let mut sent = 0;
        loop {
            let disk_busy = asked.load(Ordering::Relaxed) > sent;
            let started = Instant::now();
            let Some(reading) = reads.next().await else {
                break;
            };
            if disk_busy {
                self.meter.add_disk_wait(started.elapsed());
            }
            self.send(&mut chunks, reading?).await?;
            sent += 1;
        }
        chunks.finish();
        Ok(())
    }

    /// A client has no business with chunks outside its image: asking for one ends the session.
    fn allow(&self, id: ChunkId) -> Result<ChunkId, StreamError> {
        if self.image.chunks.number(&id).is_some() {
            return Ok(id);
        }
        let reason = format!("the client requested chunk {id}, which is not part of its image");
        warn!(chunk = %id, "a client requested a chunk outside its image; ending the session");
        self.sessions.fail(self.task, reason.clone(), false);
        Err(StreamError::Refused { reason })
    }

    /// Reads a chunk; one that is damaged here is waited for until another node has given it.
    async fn read(&self, id: ChunkId) -> Result<Reading, StreamError> {
        let hold = self.budget.hold(LARGEST_CHUNK).await;
        let (hold, chunk) = match self.read_noted(id).await {
            Ok(chunk) => (hold, Ok(chunk)),
            Err(problem) => {
                // Nothing is in memory while it waits.
                drop(hold);
                let healed = self.healed(id, problem).await;
                (self.budget.hold(LARGEST_CHUNK).await, healed)
            }
        };
        Ok(Reading {
            id,
            chunk,
            _hold: hold,
        })
    }

    /// What cannot be read of an image is known as damaged from then on.
    async fn read_noted(&self, id: ChunkId) -> Result<StoredChunk, ReadError> {
        self.sessions.disk.read(self.image.manifest, id).await
    }

    async fn healed(&self, id: ChunkId, problem: ReadError) -> Result<StoredChunk, String> {
        let problem = match problem {
            ReadError::Here(problem) => problem,
            // It is whole where it is, and other nodes are asked by the client.
            ReadError::Cold(problem) => return Err(chain(&problem).to_string()),
        };
        warn!(chunk = %id, error = %chain(&problem),
            "a chunk that a client needs is damaged here; waiting for that of another node");
        let (healing, disk) = (&self.sessions.healing, &self.sessions.disk);
        match healing.wait(disk, self.image.manifest, id).await {
            Ok(()) => {
                info!(chunk = %id, "the chunk is whole again; the client gets it");
                let read = self.read_noted(id).await;
                read.map_err(|error| chain(&error).to_string())
            }
            Err(why_not) => Err(healing::complaint(self.number, &problem, &why_not)),
        }
    }

    /// Sends it when its turn has come: those who are outside their multicast session leave the
    /// line to those in it, and all of a session keep to its limit.
    async fn send(&self, lane: &mut ChunkSender, reading: Reading) -> Result<(), StreamError> {
        match reading.chunk {
            Ok(chunk) => {
                let bytes = chunk.compressed.len() as u64;
                if let Some(limit) = self.limit {
                    let multicasts = &self.sessions.multicasts;
                    multicasts.give_way(limit, self.task, bytes).await;
                }
                self.meter.add_wire(bytes);
                lane.send(reading.id, chunk.plain_len, chunk.compressed)
                    .await
            }
            Err(problem) => {
                self.remember(reading.id, &problem);
                lane.unavailable(reading.id, &problem).await
            }
        }
    }

    fn remember(&self, id: ChunkId, problem: &str) {
        error!(chunk = %id, error = problem, "a chunk of an image cannot be served");
        if let Some(facts) = self.sessions.table().facts(self.task)
            && facts.unavailable.len() < REMEMBERED
        {
            facts.unavailable.push(problem.to_owned());
        }
    }
}

/// The ids that come in on a lane, one by one.
fn ids(wanted: WantedChunks) -> impl Stream<Item = Result<ChunkId, StreamError>> {
    stream::unfold(wanted, async |mut wanted| {
        let ids = wanted.next().await?;
        Some((ids, wanted))
    })
    .map_ok(|ids| stream::iter(ids.into_iter().map(Ok)))
    .try_flatten()
}
