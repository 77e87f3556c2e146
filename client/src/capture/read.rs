//! The first two stages: the disk is read in order, and what was read is hashed.
//!
//! Used bytes are read together with the small gaps between them. Where that fails, and for some way
//! beyond, only used bytes are read, past the kernel's cache; and what of them cannot be read is
//! narrowed down to sectors.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foghorn_image::{ByteRange, DiskGeometry, UsedMask};
use foghorn_types::{ChunkId, chain};
use tokio::sync::mpsc;

use super::CaptureError;
use super::board::{Shared, Slot};
use super::careful::{Effort, read_around};
use super::lost::Losses;
use super::steps::{Ahead, Step};
use crate::buffers::{BufferPool, ChunkBuffer};
use crate::deploy::is_zero;
use crate::disk::{DiskError, DiskSet};
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

/// Chunks that are read with care after one in which a read failed.
const CAREFUL_CHUNKS: u32 = 64;
/// Places of one chunk after which an image that would not be stored is given up.
const MOST_PLACES: usize = 16;
/// Failures that are logged; of more, every hundredth.
const MOST_LOGGED: u64 = 20;

/// Slots behind one that is not known yet.
const MOST_BEHIND: Slot = 1 << 16;

/// Runs on its own thread. Holes are known to be zero and are not read.
pub(super) fn read_disk(
    shared: &Shared,
    losses: &Losses,
    pool: &BufferPool,
    queue: &mpsc::Sender<Plain>,
) {
    let mut reader = Reader {
        shared,
        losses,
        effort: Effort::default(),
        careful: 0,
        failures: 0,
    };
    let mut steps = Ahead::new(shared, READ_AHEAD);
    // Not where reading fails: the kernel would try the bad places as well.
    while let Some(step) = steps.next(reader.careful == 0) {
        if shared.stop.is_cancelled() {
            return;
        }
        let slot = match step {
            Step::Holes(slots) => {
                skip(shared, slots);
                continue;
            }
            Step::Read(slot) => slot,
        };
        let mut bytes = pool.take(shared.length(slot));
        match shared
            .progress
            .timed(Work::Read, || reader.read_chunk(slot, &mut bytes))
        {
            Ok(()) => {
                if queue.blocking_send(Plain { slot, bytes }).is_err() {
                    return;
                }
            }
            Err(error) => return shared.fail(error),
        }
    }
}

/// Settles the slots of a hole. What is known before a slot that is not takes memory, so a long hole
/// waits for those in front of it.
fn skip(shared: &Shared, slots: Range<Slot>) {
    for slot in slots {
        if slot.is_multiple_of(MOST_BEHIND) {
            while shared.behind(slot) > MOST_BEHIND && !shared.stop.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        shared.is_zero(slot);
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    losses: &'a Losses,
    effort: Effort,
    /// Chunks that are still to be read with care.
    careful: u32,
    /// Reads that failed.
    failures: u64,
}

impl Reader<'_> {
    fn read_chunk(&mut self, slot: Slot, bytes: &mut ChunkBuffer) -> Result<(), CaptureError> {
        let Some(index) = self.shared.index(slot as usize) else {
            return Ok(());
        };
        let (base, used) = (
            DiskGeometry::chunk_offset(index).bytes(),
            self.shared.mask(slot),
        );
        if self.careful == 0 {
            let begun = Instant::now();
            match read_spans(&self.shared.disk, base, &used, bytes) {
                Ok(()) => return Ok(()),
                Err(error) => self.failed(&error, begun.elapsed()),
            }
        }
        self.careful = self.careful.saturating_sub(1);
        for range in used.byte_ranges(bytes.len()) {
            let range = ByteRange::new(base + range.start as u64, base + range.end as u64);
            for part in self.losses.divide(range) {
                let part = (part.start - base) as usize..(part.end - base) as usize;
                self.read_part(base, part, bytes)?;
            }
        }
        Ok(())
    }

    /// Reads bytes that are wanted or missed together, and nothing else.
    fn read_part(
        &mut self,
        base: u64,
        part: Range<usize>,
        bytes: &mut ChunkBuffer,
    ) -> Result<(), CaptureError> {
        let disk = &self.shared.disk;
        let begun = Instant::now();
        let Err(error) = disk.reread_at(base + part.start as u64, &mut bytes[part.clone()]) else {
            return Ok(());
        };
        self.failed(&error, begun.elapsed());
        let place = |range: &Range<usize>| {
            ByteRange::new(base + range.start as u64, base + range.end as u64)
        };
        let may_miss = self.losses.may_miss(place(&part));
        let sector = disk.at(base).0.sector_size().bytes() as usize;
        let most = if may_miss { usize::MAX } else { MOST_PLACES };
        let missed = read_around(
            bytes,
            part,
            (sector, most),
            &mut self.effort,
            |at, piece| {
                let begun = Instant::now();
                disk.reread_at(base + at as u64, piece)
                    .map_err(|error| (error, begun.elapsed()))
            },
        );
        let Some(error) = missed.error else {
            return Ok(());
        };
        if self.effort.is_hopeless() {
            return Err(CaptureError::Hopeless {
                path: error.path.clone(),
                offset: error.offset.bytes(),
                lost: self.losses.bytes(),
                source: Box::new(error),
            });
        }
        let places: Vec<ByteRange> = missed.ranges.iter().map(place).collect();
        if !may_miss {
            return Err(self.losses.failure(disk, &places, error));
        }
        places.into_iter().for_each(|place| self.losses.add(place));
        Ok(())
    }

    /// A read failed after this time.
    fn failed(&mut self, error: &DiskError, time: Duration) {
        self.effort.failed_after(time);
        self.careful = if self.effort.is_costly() {
            u32::MAX
        } else {
            CAREFUL_CHUNKS
        };
        self.failures += 1;
        if self.failures <= MOST_LOGGED || self.failures.is_multiple_of(100) {
            tracing::warn!(
                offset = error.offset.bytes(),
                length = error.length,
                failures = self.failures,
                lost_bytes = self.losses.bytes(),
                error = %chain(error),
                "a read failed; reading around it"
            );
        }
    }
}

/// Reads what is used of a chunk, and small gaps along with it.
fn read_spans(
    disk: &DiskSet,
    base: u64,
    used: &UsedMask,
    bytes: &mut ChunkBuffer,
) -> Result<(), DiskError> {
    let mut pending: Option<Range<usize>> = None;
    let mut spans = Vec::new();
    for range in used.byte_ranges(bytes.len()) {
        match &mut pending {
            Some(span) if range.start - span.end <= READ_THROUGH => span.end = range.end,
            _ => spans.extend(pending.replace(range)),
        }
    }
    for span in spans.into_iter().chain(pending) {
        disk.read_at(base + span.start as u64, &mut bytes[span])?;
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
            shared.mask(slot).mask_out(&mut bytes);
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
