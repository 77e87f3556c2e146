//! The first two stages: the disk is read in order, and what was read is hashed.

use std::sync::{Mutex, PoisonError};

use foghorn_image::DiskGeometry;
use foghorn_types::ChunkId;
use tokio::sync::mpsc;

use super::board::{Shared, Slot};
use crate::buffers::{BufferPool, ChunkBuffer};
use crate::deploy::is_zero;
use crate::disk::DiskError;
use crate::progress::Work;

/// How far ahead of the reader the kernel is asked to read. Two chunks keep a fast disk busy, eight
/// a slow one with seeks.
const READ_AHEAD: usize = 8;

/// Unused gaps up to this size are read along: one large read is cheaper than two small ones.
const READ_THROUGH: usize = 64 << 10;

/// A chunk as it was read; unused bytes are arbitrary.
pub(super) struct Plain {
    pub(super) slot: Slot,
    pub(super) bytes: ChunkBuffer,
}

/// A chunk with data that this capture meets for the first time.
pub(super) struct Hashed {
    pub(super) slot: Slot,
    pub(super) id: ChunkId,
    pub(super) bytes: ChunkBuffer,
}

/// Runs on its own thread. Holes are known to be zero and are not read.
pub(super) fn read_disk(shared: &Shared, pool: &BufferPool, queue: &mpsc::Sender<Plain>) {
    for slot in 0..shared.chunks.len() {
        if shared.stop.is_cancelled() {
            return;
        }
        if let Some((ahead, _)) = shared.chunks.get(slot + READ_AHEAD) {
            shared.disk.will_need(
                DiskGeometry::chunk_offset(*ahead).bytes(),
                foghorn_image::CHUNK_SIZE,
            );
        }
        let slot = slot as Slot;
        let base = DiskGeometry::chunk_offset(shared.chunks[slot as usize].0).bytes();
        let length = shared.length(slot);
        if shared.disk.is_hole(base, length as u64) {
            shared.is_zero(slot);
            continue;
        }
        let mut bytes = pool.take(length);
        match shared
            .progress
            .timed(Work::Read, || read_chunk(shared, slot, base, &mut bytes))
        {
            Ok(()) => {
                if queue.blocking_send(Plain { slot, bytes }).is_err() {
                    return;
                }
            }
            Err(error) => return shared.fail(error.into()),
        }
    }
}

fn read_chunk(
    shared: &Shared,
    slot: Slot,
    base: u64,
    bytes: &mut ChunkBuffer,
) -> Result<(), DiskError> {
    let used = &shared.chunks[slot as usize].1;
    let mut pending: Option<std::ops::Range<usize>> = None;
    let mut spans = Vec::new();
    for range in used.byte_ranges(bytes.len()) {
        match &mut pending {
            Some(span) if range.start - span.end <= READ_THROUGH => span.end = range.end,
            _ => spans.extend(pending.replace(range)),
        }
    }
    for span in spans.into_iter().chain(pending) {
        shared
            .disk
            .read_at(base + span.start as u64, &mut bytes[span])?;
    }
    Ok(())
}

/// Runs on several threads: masks, finds zeroes, hashes, and drops what this capture has met
/// before.
pub(super) fn hash_chunks(
    shared: &Shared,
    queue: &Mutex<mpsc::Receiver<Plain>>,
    out: &mpsc::Sender<Hashed>,
) {
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(Plain { slot, mut bytes }) = next else {
            return;
        };
        if shared.stop.is_cancelled() {
            return;
        }
        let id = shared.progress.timed(Work::Hash, || {
            shared.chunks[slot as usize].1.mask_out(&mut bytes);
            (!is_zero(&bytes)).then(|| ChunkId::of(&bytes))
        });
        match id {
            None => shared.is_zero(slot),
            Some(id) if shared.is_data(slot, id) => {
                if out.blocking_send(Hashed { slot, id, bytes }).is_err() {
                    return;
                }
            }
            Some(_) => shared.progress.add_reused(shared.used(slot)),
        }
    }
}
