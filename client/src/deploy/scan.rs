//! Looks for chunks that the target holds already, and makes zero what must be zero.
//!
//! Runs beside the network, on its own threads. Nothing is believed unread: a chunk counts as right
//! when the bytes at its place, with the unused ones masked out, hash to its id.

use std::time::{Duration, Instant};

use foghorn_image::ChunkEntry;
use foghorn_types::{ChunkId, ChunkNumber};
use tokio::sync::mpsc;

use super::shared::Shared;
use super::write::{Verified, is_zero};
use crate::buffers::{BufferPool, ChunkBuffer};
use crate::disk::DiskError;
use crate::progress::Work;

/// What a look at the disk found, and what it cost.
struct Look {
    /// Which of the chunk's places are right.
    right: Vec<bool>,
    /// The contents, when some place is right and another is not.
    found: Option<ChunkBuffer>,
    bytes: u64,
    time: Duration,
}

/// Runs on its own thread until the board has nothing left to scan. `writer` takes chunks that were
/// found at one of their places and are missing at another.
pub(super) fn scan_chunks(shared: &Shared, pool: &BufferPool, writer: &mpsc::Sender<Verified>) {
    while !shared.stop.is_cancelled() {
        let Some(number) = shared.update(super::board::Board::claim_scan) else {
            return;
        };
        match look(shared, pool, number) {
            Ok(look) => {
                if settle(shared, writer, number, look).is_err() {
                    return;
                }
            }
            // A target that cannot be read here may still be writable: fetch and write, and let the
            // write decide.
            Err(error) => {
                tracing::warn!(
                    offset = error.offset.bytes(),
                    error = %error.source,
                    "could not read the target; fetching instead"
                );
                shared.update(|board| board.scanned(number, false, 0, Duration::ZERO));
            }
        }
    }
}

fn look(shared: &Shared, pool: &BufferPool, number: ChunkNumber) -> Result<Look, DiskError> {
    let (plan, disk) = (&shared.plan, &shared.disk);
    let length = plan.length(number);
    let mut result = Look {
        right: Vec::new(),
        found: None,
        bytes: 0,
        time: Duration::ZERO,
    };
    let begun = Instant::now();
    for entry in plan.places(number) {
        // Data is never all zero, so a hole is a miss without reading. The boot sector was wiped,
        // so it is one too.
        let span = plan.span(&entry);
        let (at, bytes) = (plan.offset(&entry, span.start), span.len() as u64);
        if !plan.can_be_found(&entry) || disk.is_hole(at, bytes) {
            result.right.push(false);
            continue;
        }
        let mut buffer = pool.take(length);
        disk.read_at(at, &mut buffer[span])?;
        entry.used.mask_out(&mut buffer);
        let right = Some(ChunkId::of(&buffer)) == plan.id(number);
        result.bytes += bytes;
        result.right.push(right);
        if right {
            result.found = Some(buffer);
        }
    }
    if result.bytes > 0 {
        result.time = begun.elapsed();
        shared.progress.add_busy(Work::Scan, result.time);
    }
    Ok(result)
}

/// Tells the board. `Err` when the writer is gone, which is the end of the deploy.
fn settle(
    shared: &Shared,
    writer: &mpsc::Sender<Verified>,
    number: ChunkNumber,
    look: Look,
) -> Result<(), ()> {
    let (bytes, time) = (look.bytes, look.time);
    let everywhere = look.right.iter().all(|&right| right);
    for (entry, &right) in shared.plan.places(number).zip(&look.right) {
        if right {
            shared.progress.add_reused(shared.plan.entry_used(&entry));
        }
    }
    match look.found {
        Some(plain) if !everywhere => {
            shared.update(|board| board.found_somewhere(number, bytes, time));
            writer
                .blocking_send(Verified {
                    number,
                    plain,
                    already_right: look.right,
                })
                .map_err(drop)
        }
        found => {
            shared.update(|board| board.scanned(number, found.is_some(), bytes, time));
            Ok(())
        }
    }
}

/// Makes every entry that is in use and all zero read as zero. What is zero already is only read,
/// or known to be a hole.
pub(super) fn make_zeroes(shared: &Shared, pool: &BufferPool) {
    for entry in shared.plan.zero_entries() {
        if shared.stop.is_cancelled() {
            return;
        }
        if let Err(error) = make_zero(shared, pool, &entry) {
            return shared.fail(error.into());
        }
    }
}

fn make_zero(shared: &Shared, pool: &BufferPool, entry: &ChunkEntry) -> Result<(), DiskError> {
    let length = shared.plan.entry_length(entry);
    let disk = &shared.disk;
    let span = shared.plan.span(entry);
    // One look for all fragments of the chunk.
    if disk.is_hole(shared.plan.offset(entry, span.start), span.len() as u64) {
        shared.progress.add_reused(shared.plan.entry_used(entry));
        return Ok(());
    }
    for used in entry.used.byte_ranges(length) {
        let (at, bytes) = (shared.plan.offset(entry, used.start), used.len() as u64);
        if disk.is_hole(at, bytes) {
            shared.progress.add_reused(bytes);
            continue;
        }
        let mut buffer = pool.take(used.len());
        let zero = shared.progress.timed(Work::Scan, || {
            disk.read_at(at, &mut buffer).is_ok() && is_zero(&buffer)
        });
        if zero {
            shared.progress.add_reused(bytes);
        } else {
            shared
                .progress
                .timed(Work::Write, || disk.zero(at, bytes))?;
            shared.progress.add_written(bytes);
            shared.progress.add_done(bytes);
        }
    }
    Ok(())
}
