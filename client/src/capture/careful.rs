//! How much of what cannot be read is read all the same, and at what price. Pure, but for the reads
//! themselves.

use std::ops::Range;
use std::time::Duration;

use crate::disk::DiskError;

/// Largest piece that is tried at once where reading failed.
const LARGE: usize = 64 << 10;

/// Time that failing reads may take before only pieces of this size are tried: a disk can take half
/// a minute to give up on a sector, and have a million bad ones.
const STAGES: [(Duration, Smallest); 2] = [
    (Duration::from_secs(20 * 60), Smallest::Sector),
    (Duration::from_secs(2 * 3600), Smallest::Large),
];
/// Failing reads that took longer than this in all are the end of a capture.
pub(super) const MOST_TIME: Duration = Duration::from_secs(6 * 3600);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Smallest {
    Sector,
    Large,
    /// What could not be read once is not tried again.
    Whole,
}

/// What failing reads have cost so far.
#[derive(Debug, Default)]
pub(super) struct Effort {
    spent: Duration,
}

impl Effort {
    /// A read failed after this time.
    pub(super) fn failed_after(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Whether no read should be risked that is not needed.
    pub(super) fn is_costly(&self) -> bool {
        self.smallest() != Smallest::Sector
    }

    /// Whether the disk should be given up.
    pub(super) fn is_hopeless(&self) -> bool {
        self.spent > MOST_TIME
    }

    fn smallest(&self) -> Smallest {
        STAGES
            .into_iter()
            .find(|(limit, _)| self.spent <= *limit)
            .map_or(Smallest::Whole, |(_, smallest)| smallest)
    }
}

/// Why a read failed, and how long that took.
pub(super) type Failure = (DiskError, Duration);

/// What could not be read.
pub(super) struct Missed {
    /// Bytes of the chunk, ascending, not touching; zeroes stand in their place.
    pub(super) ranges: Vec<Range<usize>>,
    /// The first failure of the smallest piece.
    pub(super) error: Option<DiskError>,
}

/// Reads a part of a chunk in which a read failed: in large pieces where that works, sector by sector
/// around what cannot be read. Stops when `most` places could not be read.
///
/// `read` gets the place in the chunk and says how long it took if it fails.
pub(super) fn read_around(
    chunk: &mut [u8],
    range: Range<usize>,
    (sector, most): (usize, usize),
    effort: &mut Effort,
    mut read: impl FnMut(usize, &mut [u8]) -> Result<(), Failure>,
) -> Missed {
    let mut missed = Missed {
        ranges: Vec::new(),
        error: None,
    };
    let (mut at, mut step) = (range.start, LARGE);
    while at < range.end && missed.ranges.len() < most {
        let smallest = match effort.smallest() {
            Smallest::Sector => sector,
            Smallest::Large => LARGE,
            Smallest::Whole => range.len(),
        };
        step = step.max(smallest);
        // Pieces end where sectors end, wherever the first one starts.
        let end = ((at + step) / sector * sector).min(range.end);
        let Err((error, time)) = read(at, &mut chunk[at..end]) else {
            (at, step) = (end, (step * 2).min(LARGE));
            continue;
        };
        effort.failed_after(time);
        if end - at > smallest && !effort.is_hopeless() {
            step = smallest;
            continue;
        }
        chunk[at..end].fill(0);
        missed.error.get_or_insert(error);
        match missed.ranges.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => missed.ranges.push(at..end),
        }
        at = end;
    }
    missed
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use foghorn_types::ByteOffset;

    use super::*;

    const SECTOR: usize = 512;

    /// Reads a chunk of ones with bad places; what was missed and how many reads failed.
    fn attempt(
        bad: &[Range<usize>],
        range: Range<usize>,
        most: usize,
        each: Duration,
    ) -> (Vec<Range<usize>>, u32, Vec<u8>) {
        let mut chunk = vec![9; 1 << 20];
        let mut failures = 0;
        let missed = read_around(
            &mut chunk,
            range.clone(),
            (SECTOR, most),
            &mut Effort::default(),
            |at, piece| {
                let end = at + piece.len();
                assert!(at >= range.start && end <= range.end);
                if bad.iter().any(|bad| at < bad.end && bad.start < end) {
                    failures += 1;
                    let error = DiskError {
                        what: "read",
                        path: PathBuf::new(),
                        offset: ByteOffset::from_bytes(at as u64),
                        length: piece.len() as u64,
                        source: io::Error::other("bad"),
                    };
                    return Err((error, each));
                }
                piece.fill(1);
                Ok(())
            },
        );
        (missed.ranges, failures, chunk)
    }

    #[test]
    fn exactly_the_bad_sectors_are_missed() {
        let bad = [
            0..512,
            70_000..70_001,
            600_064..602_112,
            1_048_064..1_048_576,
        ];
        let (missed, failures, chunk) =
            attempt(&bad, 0..1 << 20, usize::MAX, Duration::from_millis(1));
        let expected = [
            0..512,
            69_632..70_144,
            600_064..602_112,
            1_048_064..1_048_576,
        ];
        assert_eq!(missed, expected);
        assert!(failures < 60, "{failures} reads failed");
        for (at, byte) in chunk.iter().enumerate() {
            let is_missed = expected.iter().any(|range| range.contains(&at));
            assert_eq!(*byte, u8::from(!is_missed), "byte {at}");
        }
        // Only what is wanted is touched.
        let (missed, _, chunk) = attempt(&bad, 512..69_632, usize::MAX, Duration::ZERO);
        assert!(missed.is_empty() && chunk[..512].iter().all(|&byte| byte == 9));
        assert!(chunk[512..69_632].iter().all(|&byte| byte == 1));
    }

    #[test]
    fn it_stops_after_as_many_places_as_are_wanted() {
        let bad: Vec<Range<usize>> = (0..100).map(|n| n * 4096..n * 4096 + 1).collect();
        let (missed, _, _) = attempt(&bad, 0..1 << 20, 3, Duration::ZERO);
        assert_eq!(missed, [0..512, 4096..4608, 8192..8704]);
    }

    #[test]
    fn the_slower_a_disk_fails_the_less_is_tried() {
        let whole = 0..1 << 20;
        let all = std::slice::from_ref(&whole);
        let tries = |each| {
            let (missed, failures, _) = attempt(all, whole.clone(), usize::MAX, each);
            assert_eq!(missed, all);
            failures
        };
        assert_eq!(tries(Duration::from_millis(1)), 2049);
        // 20 minutes for sectors, then pieces of 64 KiB.
        assert!(tries(Duration::from_secs(30)) < 60);
        assert!(tries(Duration::from_secs(3 * 3600)) < 4);
    }
}
