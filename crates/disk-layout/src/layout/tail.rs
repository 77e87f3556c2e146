//! What lies behind the last partition and is not taken: how much of it is data.

use foghorn_image::{ByteRange, ByteRanges};

use super::LayoutNote;
use crate::read_at::ReadAt;

/// Bytes that count as data when one of them is not zero.
const BLOCK: u64 = 4096;

/// Read at once, in bytes.
const STEP: u64 = 1 << 20;

/// Most bytes that are read whole. Behind the partitions of a small image on a large disk there can
/// be terabytes; of more than this the start, the end, and samples in between are read.
const READ_WHOLE: u64 = 512 << 20;

/// How many samples of one block are read in between.
const SAMPLES: u64 = 1024;

/// Reads of up to a step that may fail, each of which can take a disk many seconds; then no more are
/// tried.
const MOST_FAILURES: u32 = 8;

/// What was found.
#[derive(Default)]
struct Found {
    failures: u32,
    first: Option<u64>,
    end: u64,
    bytes: u64,
}

/// The note about data in these ranges, if there is any. Known holes are not read, and what cannot be
/// read counts as empty: nothing needs it.
pub(super) fn data_in(disk: &dyn ReadAt, ranges: &ByteRanges) -> Option<LayoutNote> {
    let known: ByteRanges = ranges
        .iter()
        .flat_map(|range| not_holes(disk, range))
        .collect();
    let total = known.total().bytes();
    let mut found = Found::default();
    let mut before = 0;
    for range in known.iter() {
        // Of the bytes that may be data, those at the start and at the end are read.
        let head = (READ_WHOLE / 2)
            .saturating_sub(before)
            .min(range.size().bytes());
        let behind = total - before - range.size().bytes();
        let tail = (READ_WHOLE / 2)
            .saturating_sub(behind)
            .min(range.size().bytes() - head);
        look(
            disk,
            ByteRange::new(range.start, range.start + head),
            &mut found,
        );
        sample(
            disk,
            ByteRange::new(range.start + head, range.end - tail),
            &mut found,
        );
        look(
            disk,
            ByteRange::new(range.end - tail, range.end),
            &mut found,
        );
        before += range.size().bytes();
    }
    found.first.map(|first| LayoutNote::DataBehindPartitions {
        range: ByteRange::new(first, found.end),
        bytes: found.bytes,
        sampled: total > READ_WHOLE,
    })
}

/// The parts of a range that are not known to be holes.
fn not_holes(disk: &dyn ReadAt, range: ByteRange) -> Vec<ByteRange> {
    let mut parts = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let data = disk.next_data(at).max(at);
        if data >= range.end {
            break;
        }
        // Where a hole begins is not asked for: a step with data is read.
        let end = (data / STEP + 1).saturating_mul(STEP).min(range.end);
        parts.push(ByteRange::new(data, end));
        at = end;
    }
    parts
}

fn look(disk: &dyn ReadAt, range: ByteRange, found: &mut Found) {
    let mut buffer = vec![0; range.size().bytes().min(STEP) as usize];
    let mut at = range.start;
    while at < range.end && found.failures < MOST_FAILURES {
        let bytes = &mut buffer[..(range.end - at).min(STEP) as usize];
        if disk.read_exact_at(at, bytes).is_err() {
            bytes.fill(0);
            found.failures += 1;
        }
        for block in bytes.chunks(BLOCK as usize) {
            if block.iter().any(|&byte| byte != 0) {
                found.first.get_or_insert(at);
                found.bytes += block.len() as u64;
                found.end = at + block.len() as u64;
            }
            at += block.len() as u64;
        }
    }
}

fn sample(disk: &dyn ReadAt, range: ByteRange, found: &mut Found) {
    let size = range.size().bytes();
    let step = (size / SAMPLES).max(BLOCK);
    let mut at = range.start;
    while at < range.end {
        let end = (at + BLOCK).min(range.end);
        look(disk, ByteRange::new(at, end), found);
        if found.failures == MOST_FAILURES {
            return;
        }
        at += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Zeroes but for the given bytes; knows its holes.
    struct Sparse(u64, Vec<u64>);

    impl ReadAt for Sparse {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            buffer.fill(0);
            for &byte in &self.1 {
                if let Some(slot) = byte
                    .checked_sub(offset)
                    .and_then(|at| buffer.get_mut(at as usize))
                {
                    *slot = 1;
                }
            }
            Ok(())
        }

        fn size(&self) -> u64 {
            self.0
        }

        fn next_data(&self, offset: u64) -> u64 {
            let data = self.1.iter().map(|byte| byte / BLOCK * BLOCK);
            data.filter(|&block| block + BLOCK > offset)
                .map(|block| block.max(offset))
                .min()
                .unwrap_or(self.0)
        }
    }

    fn found(disk: &dyn ReadAt) -> Option<LayoutNote> {
        let all = [ByteRange::new(0, disk.size())].into_iter().collect();
        data_in(disk, &all)
    }

    #[test]
    fn data_is_counted_in_blocks_and_holes_cost_nothing() {
        let empty = Sparse(1 << 50, vec![]);
        assert_eq!(found(&empty), None);
        let some = Sparse(1 << 50, vec![5, 3 * MIB, (1 << 50) - 1]);
        assert_eq!(
            found(&some),
            Some(LayoutNote::DataBehindPartitions {
                range: ByteRange::new(0, 1 << 50),
                bytes: 3 * BLOCK,
                sampled: false,
            })
        );
    }

    /// Does not know its holes.
    struct Device(Sparse);

    impl ReadAt for Device {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            self.0.read_exact_at(offset, buffer)
        }

        fn size(&self) -> u64 {
            self.0.size()
        }
    }

    #[test]
    fn of_a_long_tail_both_ends_and_samples_are_read() {
        let size = 2048 * MIB;
        for at in [0, 200 * MIB + 77, size - 200 * MIB, size - 1] {
            let note = found(&Device(Sparse(size, vec![at])));
            assert!(
                matches!(
                    note,
                    Some(LayoutNote::DataBehindPartitions {
                        sampled: true,
                        bytes: BLOCK,
                        ..
                    })
                ),
                "{at}: {note:?}"
            );
        }
    }
}
