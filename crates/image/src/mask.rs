//! Which bytes of a chunk are in use.

use std::ops::Range;

use foghorn_types::ChunkIndex;

use crate::geometry::{CHUNK_SIZE, DiskGeometry};
use crate::ranges::{ByteRanges, Runs};

/// Bytes that one unit of a mask stands for.
pub const MASK_UNIT: u64 = 512;

/// Most ranges of one mask: every second unit of a chunk, as ranges do not touch each other.
pub(crate) const MAX_RANGES: usize = (CHUNK_SIZE / MASK_UNIT / 2) as usize;

/// A run of 512-byte sectors inside one chunk: `start..end`, `end` at most 2048.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SectorRange {
    /// First unit of 512 bytes, counted from the start of the chunk.
    pub start: u16,
    /// The unit behind the last one.
    pub end: u16,
}

/// The used bytes of one chunk, in units of 512 bytes whatever the disk's sector size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UsedMask {
    /// Every byte of the chunk.
    Whole,
    /// Ascending, not empty, not touching each other, and not the whole chunk (that is
    /// [`UsedMask::Whole`]).
    Ranges(Vec<SectorRange>),
}

/// Units in a chunk of `len` bytes; the last may be short when a disk's size is odd.
pub(crate) const fn units(len: usize) -> u16 {
    (len as u64).div_ceil(MASK_UNIT) as u16
}

impl UsedMask {
    /// The used bytes of a chunk of `len` bytes, as ascending ranges within the chunk.
    pub fn byte_ranges(&self, len: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let (whole, ranges): (Option<Range<usize>>, &[SectorRange]) = match self {
            Self::Whole => (Some(0..len), &[]),
            Self::Ranges(ranges) => (None, ranges),
        };
        let unit = MASK_UNIT as usize;
        let parts = ranges.iter().map(move |r| {
            (usize::from(r.start) * unit).min(len)..(usize::from(r.end) * unit).min(len)
        });
        whole
            .into_iter()
            .chain(parts)
            .filter(|range| !range.is_empty())
    }

    /// Whether the byte at `offset` of the chunk is in use.
    #[must_use]
    pub fn contains(&self, offset: usize) -> bool {
        match self {
            Self::Whole => offset < CHUNK_SIZE as usize,
            Self::Ranges(ranges) => {
                let unit = offset / MASK_UNIT as usize;
                let after = ranges.partition_point(|range| usize::from(range.start) <= unit);
                after > 0 && unit < usize::from(ranges[after - 1].end)
            }
        }
    }

    /// Used bytes of a chunk of `len` bytes.
    #[must_use]
    pub fn used_bytes(&self, len: usize) -> u64 {
        self.byte_ranges(len).map(|range| range.len() as u64).sum()
    }

    /// Zeroes what is not in use, so that what an unused sector happened to hold changes no
    /// [`ChunkId`](foghorn_types::ChunkId) and leaves no machine. `chunk` is the full extent of
    /// the chunk.
    pub fn mask_out(&self, chunk: &mut [u8]) {
        let Self::Ranges(ranges) = self else { return };
        let len = chunk.len();
        let unit = MASK_UNIT as usize;
        let mut unused_from = 0;
        for range in ranges {
            chunk[unused_from..(usize::from(range.start) * unit).min(len)].fill(0);
            unused_from = (usize::from(range.end) * unit).min(len);
        }
        chunk[unused_from..].fill(0);
    }
}

/// The chunks of a disk that have used bytes, in order, for the used bytes of the disk.
///
/// Ranges are rounded outward to 512 bytes; what lies beyond the end of the disk, or beyond the
/// last chunk that a [`ChunkIndex`] can name, is left out. Nothing but the chunk at hand is held in
/// memory.
pub fn used_chunks(geometry: DiskGeometry, used: &ByteRanges) -> UsedChunks<'_> {
    UsedChunks {
        geometry,
        ranges: used.iter(),
        current: None,
    }
}

/// See [`used_chunks`].
#[derive(Debug)]
pub struct UsedChunks<'a> {
    geometry: DiskGeometry,
    ranges: Runs<'a>,
    /// What is left of the range at hand, in mask units from the start of the disk.
    current: Option<Range<u64>>,
}

impl UsedChunks<'_> {
    /// The next units that are used, without consuming them. Empty ranges and ranges behind the
    /// disk are skipped.
    fn peek(&mut self) -> Option<Range<u64>> {
        let end_of_disk = self.geometry.size.bytes().div_ceil(MASK_UNIT);
        while self.current.as_ref().is_none_or(Range::is_empty) {
            let range = self.ranges.next()?;
            self.current =
                Some(range.start / MASK_UNIT..range.end.div_ceil(MASK_UNIT).min(end_of_disk));
        }
        self.current.clone()
    }
}

impl Iterator for UsedChunks<'_> {
    type Item = (ChunkIndex, UsedMask);

    fn next(&mut self) -> Option<Self::Item> {
        const UNITS: u64 = CHUNK_SIZE / MASK_UNIT;
        let index = ChunkIndex::new(u32::try_from(self.peek()?.start / UNITS).ok()?);
        let base = u64::from(index.get()) * UNITS;
        let mut parts: Vec<SectorRange> = Vec::new();
        while let Some(range) = self.peek().filter(|range| range.start < base + UNITS) {
            let end = range.end.min(base + UNITS);
            // Rounding outward can make neighbours overlap by one unit, also across the start of
            // this chunk.
            let (start, stop) = ((range.start.max(base) - base) as u16, (end - base) as u16);
            self.current = Some(end..range.end);
            match parts.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(stop),
                _ => parts.push(SectorRange { start, end: stop }),
            }
        }
        let all = units(self.geometry.chunk_len(index));
        let whole = parts
            .first()
            .is_some_and(|first| first.start == 0 && first.end == all);
        Some((
            index,
            if whole {
                UsedMask::Whole
            } else {
                UsedMask::Ranges(parts)
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::{ByteCount, SectorSize};
    use proptest::prelude::*;

    use super::*;
    use crate::ranges::ByteRange;

    fn disk(size: u64) -> DiskGeometry {
        DiskGeometry {
            size: ByteCount::from_bytes(size),
            sector_size: SectorSize::B512,
        }
    }

    #[test]
    fn ranges_round_outward_and_whole_chunks_are_named_so() {
        let used = [(100, 700), (1500, 1501), (CHUNK_SIZE, 3 * CHUNK_SIZE + 1)]
            .map(|(a, b)| ByteRange::new(a, b));
        let chunks: Vec<_> =
            used_chunks(disk(4 * CHUNK_SIZE), &used.into_iter().collect()).collect();
        let ranges = |list: &[(u16, u16)]| {
            UsedMask::Ranges(
                list.iter()
                    .map(|&(start, end)| SectorRange { start, end })
                    .collect(),
            )
        };
        let masks = [
            ranges(&[(0, 3)]),
            UsedMask::Whole,
            UsedMask::Whole,
            ranges(&[(0, 1)]),
        ];
        let expected: Vec<_> = (0..4).map(ChunkIndex::new).zip(masks).collect();
        assert_eq!(chunks, expected);
    }

    #[test]
    fn a_short_last_chunk_can_be_whole() {
        let used: ByteRanges = [ByteRange::new(CHUNK_SIZE, CHUNK_SIZE + 4096)]
            .into_iter()
            .collect();
        let chunks: Vec<_> = used_chunks(disk(CHUNK_SIZE + 1000), &used).collect();
        assert_eq!(chunks, [(ChunkIndex::new(1), UsedMask::Whole)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn masks_hold_exactly_the_sectors_that_the_ranges_touch(
            size in 1..5 * CHUNK_SIZE,
            list in proptest::collection::vec((0..6 * CHUNK_SIZE, 0..300_000_u64), 0..20),
        ) {
            let used: ByteRanges = list.iter().map(|&(start, len)| ByteRange::new(start,
                start + len)).collect();
            let mut expected = vec![false; size as usize];
            for range in &used {
                let (start, end) = (range.start / 512 * 512, range.end.div_ceil(512) * 512);
                expected[start.min(size) as usize..end.min(size) as usize].fill(true);
            }
            let mut found = vec![false; size as usize];
            let mut last = None;
            for (index, mask) in used_chunks(disk(size), &used) {
                prop_assert!(last < Some(index));
                last = Some(index);
                let base = DiskGeometry::chunk_offset(index).bytes() as usize;
                let len = disk(size).chunk_len(index);
                let mut bytes = vec![1; len];
                mask.mask_out(&mut bytes);
                for range in mask.byte_ranges(len) {
                    found[base + range.start..base + range.end].fill(true);
                }
                for at in (0..len).step_by(511) {
                    prop_assert_eq!(mask.contains(at), bytes[at] == 1);
                    prop_assert_eq!(mask.contains(at), found[base + at]);
                }
                prop_assert_eq!(
                    bytes.iter().map(|&b| u64::from(b)).sum::<u64>(),
                    mask.used_bytes(len)
                );
            }
            prop_assert!(found == expected);
        }
    }
}
