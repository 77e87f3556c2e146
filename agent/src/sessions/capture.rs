//! Captures: chunks come in, become durable in batches, and are acknowledged only then; at the end
//! a manifest makes an image of them.

use std::sync::Arc;

use bytes::Bytes;
use foghorn_chunk_store::{CaptureGuard, NewChunk, PutError};
use foghorn_image::most_part_bytes;
use foghorn_transport::StreamError;
use foghorn_transport::server::{
    AckSender, SentChunk, SentChunks, StoreLane, StoreManifestReply, StorePartReply,
    WhichAreStoredReply,
};
use foghorn_types::{ByteCount, ChunkId, HostId, ImageId, ManifestId, PartId, TaskId, chain};
use futures_util::{Stream, StreamExt, pin_mut, stream};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Sessions;
use super::budget::{Hold, SessionBudget};
use super::order::SessionOrder;
use super::progress::Meter;
use crate::origin;
use crate::stored_image::{StoreImageError, store_image};

/// Chunks received and waiting for the next batch of a lane. While one batch is written the next
/// one gathers here.
const GATHER: usize = 16;
/// Batches of one lane under way: one is being verified while the one before is being flushed.
const BATCHES: usize = 2;

/// Stores one session's image.
#[derive(Clone)]
pub(super) struct Capture {
    sessions: Arc<Sessions>,
    task: TaskId,
    image: ImageId,
    /// Whose disk it is.
    host: (HostId, String),
    meter: Arc<Meter>,
    budget: SessionBudget,
    /// Keeps the sweep away from everything that this capture put or was told is there.
    guard: Arc<CaptureGuard>,
}

/// A chunk that was received and holds its share of the memory.
struct Received {
    chunk: SentChunk,
    _hold: Hold,
}

impl Capture {
    pub(super) fn new(sessions: Arc<Sessions>, order: &SessionOrder, meter: Arc<Meter>) -> Self {
        let budget = sessions.write_behind.for_session();
        let guard = sessions.capture_guard(order.task);
        Self {
            sessions,
            task: order.task,
            image: order.image,
            host: (order.host, order.host_name.clone()),
            meter,
            budget,
            guard,
        }
    }

    pub(super) async fn which_are_stored(
        self,
        ids: Vec<ChunkId>,
        reply: WhichAreStoredReply,
    ) -> Result<(), StreamError> {
        let guard = self.guard.clone();
        match self.sessions.disk.run(move |_| guard.contains(&ids)).await {
            Ok(stored) => reply.send(stored).await,
            Err(problem) => {
                let problem = chain(&problem).to_string();
                reply.refuse(&problem).await
            }
        }
    }

    /// Takes chunks until the client has sent all, and acknowledges each batch once it is on disk.
    pub(super) async fn serve_lane(self, lane: StoreLane) -> Result<(), StreamError> {
        let StoreLane { chunks, mut acks } = lane;
        let (sender, receiver) = mpsc::channel(GATHER);
        let (received, acknowledged) = tokio::join!(
            self.receive(chunks, sender),
            self.store_batches(receiver, &mut acks)
        );
        received.and(acknowledged)?;
        acks.finish();
        Ok(())
    }

    async fn receive(
        &self,
        mut chunks: SentChunks,
        queue: mpsc::Sender<Received>,
    ) -> Result<(), StreamError> {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            self.meter.add_wire(chunk.compressed.len() as u64);
            let hold = self.budget.hold(chunk.compressed.len()).await;
            if queue.send(Received { chunk, _hold: hold }).await.is_err() {
                // Storing has failed and the session with it; the other half of the lane says why.
                break;
            }
        }
        Ok(())
    }

    async fn store_batches(
        &self,
        queue: mpsc::Receiver<Received>,
        acks: &mut AckSender,
    ) -> Result<(), StreamError> {
        let stored = batches(queue)
            .map(|batch| self.store(batch))
            .buffered(BATCHES);
        pin_mut!(stored);
        while let Some((ids, result)) = stored.next().await {
            match result {
                // The client sends again what it was not told of.
                Ok(()) if foghorn_faults::lost!("agent.capture.chunks-stored") => {}
                Ok(()) => acks.durable(&ids).await?,
                Err(problem) => {
                    let reason = chain(&problem).to_string();
                    for id in ids {
                        acks.refused(id, &reason).await?;
                    }
                    self.sessions
                        .fail(self.task, reason.clone(), is_the_nodes(&problem));
                    return Err(StreamError::Refused { reason });
                }
            }
        }
        Ok(())
    }

    /// Makes one batch durable, all of it or none.
    async fn store(&self, batch: Vec<Received>) -> (Vec<ChunkId>, Result<(), PutError>) {
        let ids = batch.iter().map(|received| received.chunk.id).collect();
        let guard = self.guard.clone();
        let stored = self.sessions.disk.run(move |_| {
            // The holds stay in `batch`, that is, until the chunks are on disk.
            let chunks: Vec<NewChunk> = batch
                .iter()
                .map(|received| to_new(&received.chunk))
                .collect();
            guard.put_batch(&chunks)
        });
        let result = stored
            .await
            .map(|report| self.meter.add_new_stored(report.new_bytes.bytes()));
        (ids, result)
    }

    /// Stores a part of the manifest that the client will send.
    pub(super) async fn store_part(
        self,
        disk: ByteCount,
        part: Bytes,
        reply: StorePartReply,
    ) -> Result<(), StreamError> {
        let (bytes, id) = (part.len() as u64, PartId::of(&part));
        let known = self
            .sessions
            .disk
            .run(move |store| store.read_part(id).is_ok());
        // One that is here, of another image or because its answer was lost, costs nothing.
        let new_bytes = if known.await { 0 } else { bytes };
        if let Err(reason) = self.sessions.claim_part(self.task, disk, new_bytes) {
            warn!(error = reason, "a part of a manifest was refused");
            return reply.refuse(&reason).await;
        }
        self.meter.add_wire(bytes);
        let stored = self.sessions.disk.run(move |store| store.put_part(&part));
        match stored.await {
            Ok((id, _)) => reply.stored(id).await,
            Err(problem) => {
                let reason = chain(&problem).to_string();
                warn!(error = reason, "a part of a manifest was not stored");
                reply.refuse(&reason).await
            }
        }
    }

    /// Makes the image: valid, complete, and on disk, or not at all.
    pub(super) async fn store_manifest(
        self,
        encoded: Bytes,
        reply: StoreManifestReply,
    ) -> Result<(), StreamError> {
        if let Some(known) = self.stored_before_the_end() {
            // The client has not heard of the end. By now the image may be something else again, so
            // nothing is changed.
            return if known == ManifestId::of(&encoded) {
                reply.stored(known).await
            } else {
                reply.refuse("the task has ended").await
            };
        }
        let turn = self
            .sessions
            .manifest_turn
            .acquire()
            .await
            .expect("the semaphore is never closed");
        foghorn_faults::wait!("agent.capture.before-manifest");
        let (image, (host, name)) = (self.image, self.host.clone());
        let stored = self.sessions.disk.run(move |store| {
            let (id, captured) = store_image(store, image, &encoded)?;
            foghorn_faults::point!("agent.capture.before-origin");
            origin::remember(store, id, &captured, (host, &name));
            Ok::<_, StoreImageError>((id, captured))
        });
        let stored = stored.await;
        drop(turn);
        match stored {
            Ok((id, mut captured)) => {
                captured.new_bytes = self.meter.new_stored();
                info!(manifest = %id, ?captured, "image captured");
                if let Some(facts) = self.sessions.table().facts(self.task) {
                    facts.captured = Some(captured);
                }
                if foghorn_faults::lost!("agent.capture.manifest-stored") {
                    return Ok(());
                }
                reply.stored(id).await
            }
            Err(problem) => {
                let reason = chain(&problem).to_string();
                warn!(error = reason, "the manifest was refused");
                reply.refuse(&reason).await
            }
        }
    }
}

impl Capture {
    /// The image of a session that is complete.
    fn stored_before_the_end(&self) -> Option<ManifestId> {
        let mut table = self.sessions.table();
        table
            .ended(self.task)
            .filter(|ended| ended.problem.is_none())?;
        let captured = table.facts(self.task)?.captured.as_ref()?;
        super::order::manifest_id(&captured.manifest_id).ok()
    }
}

/// Whether another node might have taken the same bytes.
fn is_the_nodes(problem: &PutError) -> bool {
    !matches!(problem, PutError::Invalid { .. })
}

/// What a capture has stored of a manifest that is not complete.
#[derive(Clone, Copy, Default)]
pub(super) struct PartsClaim {
    /// The size of the disk, as the client says with the first part.
    disk: Option<ByteCount>,
    /// Bytes of the parts that were not here before.
    bytes: u64,
}

impl PartsClaim {
    /// Counts a part, unless all together would be more than the manifest of such a disk can have.
    fn add(&mut self, disk: ByteCount, bytes: u64) -> Result<(), String> {
        let claimed = *self.disk.get_or_insert(disk);
        if claimed != disk {
            return Err(format!(
                "the parts are of a disk of {} bytes and of one of {} bytes",
                claimed.bytes(),
                disk.bytes()
            ));
        }
        let most = most_part_bytes(disk);
        if self.bytes.saturating_add(bytes) > most.bytes() {
            return Err(format!(
                "a disk of {} bytes has a manifest of at most {} bytes",
                disk.bytes(),
                most.bytes()
            ));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Sessions {
    fn claim_part(&self, task: TaskId, disk: ByteCount, bytes: u64) -> Result<(), String> {
        match self.table().facts(task) {
            Some(facts) => facts.parts.add(disk, bytes),
            None => Err("the session has ended".to_owned()),
        }
    }

    /// The one guard of a capture, kept over all of its connections.
    fn capture_guard(&self, task: TaskId) -> Arc<CaptureGuard> {
        let mut table = self.table();
        let new = || Arc::new(self.disk.store().capture_guard());
        match table.facts(task) {
            Some(facts) => facts.guard.get_or_insert_with(new).clone(),
            None => new(),
        }
    }
}

/// Everything that has gathered since the last batch was taken.
fn batches(queue: mpsc::Receiver<Received>) -> impl Stream<Item = Vec<Received>> {
    stream::unfold(queue, async |mut queue| {
        let mut batch = Vec::with_capacity(GATHER);
        (queue.recv_many(&mut batch, GATHER).await > 0).then_some((batch, queue))
    })
}

fn to_new(chunk: &SentChunk) -> NewChunk {
    NewChunk {
        id: chunk.id,
        plain_len: chunk.plain_len,
        compressed: chunk.compressed.clone(),
    }
}
