//! The last two stages: chunks are compressed, and sent until they are acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use foghorn_transport::client::{Ack, StoreAcks, StoreSender};
use foghorn_transport::{AgentConnection, StreamError};
use foghorn_types::ChunkId;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::CaptureError;
use super::board::Shared;
use super::read::Hashed;
use crate::progress::Work;

/// zstd level on the wire and at rest: fast enough for one core to fill a gigabit link.
const LEVEL: i32 = 1;
/// Compressed bytes that wait to be sent or acknowledged. Large, because an agent flushes its disk
/// once per batch.
const WINDOW: usize = 48 << 20;
/// Compressed bytes per permit of the window.
const PERMIT: usize = 1 << 10;

struct Packed {
    used: u64,
    plain_len: u32,
    compressed: Bytes,
    /// Returned when the chunk is acknowledged.
    _room: OwnedSemaphorePermit,
}

#[derive(Default)]
struct OutboxState {
    ready: VecDeque<(ChunkId, Packed)>,
    unacknowledged: HashMap<ChunkId, Packed>,
    closed: bool,
}

/// Compressed chunks that are not yet durable at the agent. Survives lost connections.
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
    room: Arc<Semaphore>,
    changes: watch::Sender<()>,
}

/// Why a lane ended early.
pub(super) enum LaneEnd {
    Lost(StreamError),
    Refused { id: ChunkId, reason: String },
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(OutboxState::default()),
            room: Arc::new(Semaphore::new(WINDOW / PERMIT)),
            changes: watch::Sender::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, OutboxState> {
        // Each statement under the lock leaves the state valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Share of the window that is taken, 0 to 1.
    pub(super) fn fill(&self) -> f64 {
        1.0 - self.room.available_permits() as f64 / (WINDOW / PERMIT) as f64
    }

    /// No more chunks will come.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changes.send_replace(());
    }

    /// After a lost connection: what was not acknowledged is sent again.
    pub(super) fn take_back(&self) {
        let state = &mut *self.state();
        state.ready.extend(state.unacknowledged.drain());
    }

    fn push(&self, id: ChunkId, packed: Packed) {
        self.state().ready.push_back((id, packed));
        self.changes.send_replace(());
    }

    /// The next chunk to send, which then counts as unacknowledged. `None` when all were handed out
    /// and no more come.
    async fn next(&self, changes: &mut watch::Receiver<()>) -> Option<(ChunkId, u32, Bytes)> {
        loop {
            changes.mark_unchanged();
            {
                let state = &mut *self.state();
                if let Some((id, packed)) = state.ready.pop_front() {
                    let found = (id, packed.plain_len, packed.compressed.clone());
                    state.unacknowledged.insert(id, packed);
                    return Some(found);
                }
                if state.closed {
                    return None;
                }
            }
            // The sender is in self, so this cannot fail while self is borrowed.
            let _ = changes.changed().await;
        }
    }

    fn acknowledge(&self, ids: &[ChunkId], shared: &Shared) {
        let state = &mut *self.state();
        for id in ids {
            if let Some(packed) = state.unacknowledged.remove(id) {
                shared.progress.add_done(packed.used);
            }
        }
    }

    /// Sends chunks on one lane until all are sent, and waits until those it sent are durable.
    pub(super) async fn run_lane(
        &self,
        shared: &Shared,
        connection: &AgentConnection,
    ) -> Result<(), LaneEnd> {
        let (sender, acks) = connection.store_lane().await.map_err(LaneEnd::Lost)?;
        tokio::try_join!(self.feed(shared, sender), self.drain(shared, acks)).map(drop)
    }

    async fn feed(&self, shared: &Shared, mut sender: StoreSender) -> Result<(), LaneEnd> {
        let mut changes = self.changes.subscribe();
        while let Some((id, plain_len, compressed)) = self.next(&mut changes).await {
            let begun = Instant::now();
            let bytes = compressed.len() as u64;
            sender
                .send(id, plain_len, compressed)
                .await
                .map_err(LaneEnd::Lost)?;
            shared.progress.add_busy(Work::Network, begun.elapsed());
            shared.progress.add_wire(bytes);
        }
        sender.finish();
        Ok(())
    }

    async fn drain(&self, shared: &Shared, mut acks: StoreAcks) -> Result<(), LaneEnd> {
        while let Some(ack) = acks.next().await {
            match ack.map_err(LaneEnd::Lost)? {
                Ack::Durable(ids) => {
                    foghorn_faults::wait!("client.capture.chunks-stored");
                    self.acknowledge(&ids, shared);
                }
                Ack::Refused { id, reason } => return Err(LaneEnd::Refused { id, reason }),
            }
        }
        Ok(())
    }

    /// Whether every chunk is durable.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.closed && state.ready.is_empty() && state.unacknowledged.is_empty()
    }
}

/// Runs on several threads until there is nothing left to compress.
pub(super) fn compress_chunks(
    shared: &Shared,
    queue: &Mutex<mpsc::Receiver<Hashed>>,
    outbox: &Outbox,
    runtime: &Handle,
) {
    let mut compressor = match zstd::bulk::Compressor::new(LEVEL) {
        Ok(compressor) => compressor,
        Err(source) => return shared.fail(CaptureError::Compress { source }),
    };
    let mut scratch = Vec::with_capacity(zstd::zstd_safe::compress_bound(
        foghorn_image::CHUNK_SIZE as usize,
    ));
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(chunk) = next else { return };
        if shared.stop.is_cancelled() {
            return;
        }
        let packed = shared.progress.timed(Work::Compress, || {
            compressor.compress_to_buffer(&chunk.bytes, &mut scratch)
        });
        if let Err(source) = packed {
            return shared.fail(CaptureError::Compress { source });
        }
        // Copied, so that what waits in the window takes the memory it is counted with and not the
        // room it might have needed.
        let compressed = Bytes::copy_from_slice(&scratch);
        let plain_len = chunk.bytes.len() as u32;
        let (id, used) = (chunk.id, shared.used(chunk.slot));
        drop(chunk);
        let permits = compressed.len().div_ceil(PERMIT) as u32;
        let room = runtime.block_on(async {
            tokio::select! {
                room = outbox.room.clone().acquire_many_owned(permits) => room.ok(),
                () = shared.stop.cancelled() => None,
            }
        });
        let Some(room) = room else { return };
        outbox.push(
            id,
            Packed {
                used,
                plain_len,
                compressed,
                _room: room,
            },
        );
    }
}
