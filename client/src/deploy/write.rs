//! The last stage: verified chunks go to all their places on the disk.

use std::ops::Range;
use std::sync::PoisonError;

use foghorn_image::ChunkEntry;
use foghorn_types::ChunkNumber;
use tokio::sync::mpsc;

use super::plan::Plan;
use super::shared::Shared;
use crate::buffers::ChunkBuffer;
use crate::disk::{DiskError, DiskSet};
use crate::progress::Work;

/// Zeroes are looked for in steps of this size: a page, and a block of most file systems.
const ZERO_STEP: usize = 4096;

/// Shorter runs of zeroes are cheaper to write than to punch.
const WORTH_PUNCHING: usize = 64 << 10;

/// A chunk whose contents hash to its id.
pub(super) struct Verified {
    pub(super) number: ChunkNumber,
    pub(super) plain: ChunkBuffer,
    /// Places, by their index among the chunk's places, that hold it already.
    pub(super) already_right: Vec<bool>,
}

/// Runs on its own thread until all senders are gone or the deploy stops.
pub(super) fn write_chunks(shared: &Shared, mut queue: mpsc::Receiver<Verified>) {
    while let Some(verified) = queue.blocking_recv() {
        if shared.stop.is_cancelled() {
            return;
        }
        let written = shared
            .progress
            .timed(Work::Write, || write_everywhere(shared, &verified));
        match written {
            Ok(()) => {
                foghorn_faults::point!("client.deploy.chunk-written");
                shared.update(|board| board.written(verified.number));
            }
            Err(error) => return shared.fail(error.into()),
        }
    }
}

fn write_everywhere(shared: &Shared, verified: &Verified) -> Result<(), DiskError> {
    for (nth, entry) in shared.plan.places(verified.number).enumerate() {
        if verified.already_right.get(nth).copied().unwrap_or(false) {
            continue;
        }
        if shared.plan.is_boot_entry(&entry) {
            shared
                .boot_chunks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(entry.index, verified.plain.to_vec());
        } else {
            let written = write_entry(&shared.disk, &shared.plan, &entry, &verified.plain)?;
            shared.progress.add_written(written);
        }
        shared.progress.add_done(shared.plan.entry_used(&entry));
    }
    Ok(())
}

/// Writes the used bytes of one entry, leaving holes where zeroes belong and the disk has a hole.
/// Returns the bytes written.
fn write_entry(
    disk: &DiskSet,
    plan: &Plan,
    entry: &ChunkEntry,
    plain: &[u8],
) -> Result<u64, DiskError> {
    let mut written = 0;
    for used in entry.used.byte_ranges(plain.len()) {
        for run in runs(plain, used) {
            let (at, bytes) = (plan.offset(entry, run.range.start), &plain[run.range]);
            if run.zero && disk.is_hole(at, bytes.len() as u64) {
                continue;
            }
            if run.zero && bytes.len() >= WORTH_PUNCHING {
                disk.zero(at, bytes.len() as u64)?;
            } else {
                disk.write_at(at, bytes)?;
                written += bytes.len() as u64;
            }
        }
    }
    Ok(written)
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    range: Range<usize>,
    zero: bool,
}

/// Splits a range into runs of zero steps and of steps with data, on steps of [`ZERO_STEP`] from
/// the start of the chunk.
fn runs(plain: &[u8], range: Range<usize>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end = ((at / ZERO_STEP + 1) * ZERO_STEP).min(range.end);
        let zero = is_zero(&plain[at..end]);
        match runs.last_mut() {
            Some(last) if last.zero == zero => last.range.end = end,
            _ => runs.push(Run {
                range: at..end,
                zero,
            }),
        }
        at = end;
    }
    runs
}

/// Whether every byte is zero. Compares in words, which the compiler turns into vector
/// instructions.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words
        .iter()
        .all(|word| word.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_follow_the_steps_of_the_chunk() {
        let mut plain = vec![0; 4 * ZERO_STEP];
        plain[ZERO_STEP + 5] = 1;
        let found = runs(&plain, 512..3 * ZERO_STEP + 512);
        let run = |range, zero| Run { range, zero };
        assert_eq!(
            found,
            [
                run(512..ZERO_STEP, true),
                run(ZERO_STEP..2 * ZERO_STEP, false),
                run(2 * ZERO_STEP..3 * ZERO_STEP + 512, true)
            ]
        );
    }

    proptest! {
        #[test]
        fn zero_means_every_byte(length in 0usize..300, at in any::<prop::sample::Index>(),
            value in 0u8..2) {
            let mut bytes = vec![0; length];
            if length > 0 { bytes[at.index(length)] = value; }
            prop_assert_eq!(is_zero(&bytes), bytes.iter().all(|&b| b == 0));
        }
    }
}
