//! The middle stage: chunks from the network are decompressed and hashed, and are passed on only
//! when the hash is their id.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use foghorn_types::{ChunkId, ChunkNumber};
use tokio::sync::mpsc;

use super::shared::Shared;
use super::sharing::SourceId;
use super::write::Verified;
use crate::buffers::{BufferPool, ChunkBuffer};
use crate::progress::Work;

/// A chunk as it came.
pub(super) struct Arrived {
    pub(super) number: ChunkNumber,
    /// Who brought it; `None`: a multicast session.
    pub(super) source: Option<SourceId>,
    pub(super) plain_len: u32,
    pub(super) compressed: Bytes,
}

/// Runs on several threads until the network is done or the deploy stops.
pub(super) fn verify_chunks(
    shared: &Shared,
    queue: &Mutex<mpsc::Receiver<Arrived>>,
    pool: &BufferPool,
    writer: &mpsc::Sender<Verified>,
) {
    let mut decompressor = match zstd::bulk::Decompressor::new() {
        Ok(decompressor) => decompressor,
        Err(source) => return shared.fail(super::DeployError::Decompressor(source)),
    };
    loop {
        // One worker waits in the queue, the others for the lock: the order does not matter.
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(arrived) = next else { return };
        if shared.stop.is_cancelled() {
            return;
        }
        let checked = shared.progress.timed(Work::Verify, || {
            check(shared, pool, &mut decompressor, &arrived)
        });
        match checked {
            Ok(plain) => {
                let verified = Verified {
                    number: arrived.number,
                    plain,
                    already_right: Vec::new(),
                };
                if writer.blocking_send(verified).is_err() {
                    return;
                }
            }
            Err(problem) => shared.refuse(arrived.number, arrived.source, &problem),
        }
    }
}

fn check(
    shared: &Shared,
    pool: &BufferPool,
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    arrived: &Arrived,
) -> Result<ChunkBuffer, String> {
    let length = shared.plan.length(arrived.number);
    if arrived.plain_len as usize != length {
        return Err(format!(
            "{} bytes were announced, but the chunk has {length}",
            arrived.plain_len
        ));
    }
    let mut plain = pool.take(length);
    // The buffer is as long as the chunk, so nothing that is sent can make it grow.
    let found = decompressor
        .decompress_to_buffer(&arrived.compressed, &mut plain[..])
        .map_err(|error| format!("it cannot be decompressed ({error})"))?;
    if found != length {
        return Err(format!("it holds {found} bytes instead of {length}"));
    }
    let hashed = ChunkId::of(&plain);
    if Some(hashed) == shared.plan.id(arrived.number) {
        Ok(plain)
    } else {
        Err(format!("its bytes hash to {hashed}"))
    }
}
