//! Runs of bytes, and ordered sets of them.

use foghorn_types::ByteCount;

/// A run of bytes `start..end` of a disk or volume; never empty inside [`ByteRanges`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

impl ByteRange {
    /// The bytes from `start` up to, not including, `end`.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// How many bytes it covers; none when it ends before it starts.
    #[must_use]
    pub const fn size(&self) -> ByteCount {
        ByteCount::from_bytes(self.end.saturating_sub(self.start))
    }

    /// Whether it covers nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// The same run, `by` bytes further on: from a place in a partition to a place on the disk.
    #[must_use]
    pub const fn shifted(self, by: u64) -> Self {
        Self {
            start: self.start.saturating_add(by),
            end: self.end.saturating_add(by),
        }
    }
}

/// A set of bytes as runs: ascending, none empty, none touching or overlapping another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ByteRanges(Vec<ByteRange>);

impl ByteRanges {
    /// The set of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.0
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> std::slice::Iter<'_, ByteRange> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in the set.
    #[must_use]
    pub fn total(&self) -> ByteCount {
        self.0.iter().map(ByteRange::size).sum()
    }

    /// Adds a run. Constant time when it starts at or after the start of the last one, as a reader
    /// of bitmaps produces them; otherwise the whole set is sorted again.
    pub fn push(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if range.start < last.start => {
                self.0.push(range);
                let unsorted = std::mem::take(&mut self.0);
                *self = unsorted.into_iter().collect();
            }
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    /// The runs, each `by` bytes further on; without a copy.
    #[must_use]
    pub fn into_shifted(self, by: u64) -> Vec<ByteRange> {
        let mut ranges = self.0;
        for range in &mut ranges {
            *range = range.shifted(by);
        }
        ranges
    }

    /// Adds every run of `other`.
    pub fn extend_from(&mut self, other: &Self) {
        let merged = self.0.iter().chain(&other.0).copied().collect();
        *self = merged;
    }

    /// What of `whole` is not in this set.
    #[must_use]
    pub fn gaps_within(&self, whole: ByteRange) -> Self {
        let mut gaps = Self::new();
        let mut at = whole.start;
        for range in &self.0 {
            gaps.push(ByteRange::new(at, range.start.min(whole.end)));
            at = at.max(range.end);
        }
        gaps.push(ByteRange::new(at, whole.end));
        gaps
    }

    /// What is in both sets.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let (mut both, mut at) = (Self::new(), 0);
        for range in &self.0 {
            // The other's ranges that end before this one starts are of no use to later ones.
            at += other.0[at..].partition_point(|other| other.end <= range.start);
            for other in other.0[at..]
                .iter()
                .take_while(|other| other.start < range.end)
            {
                both.push(ByteRange::new(
                    range.start.max(other.start),
                    range.end.min(other.end),
                ));
            }
        }
        both
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let (mut rest, mut at) = (Self::new(), 0);
        for range in &self.0 {
            at += other.0[at..].partition_point(|other| other.end <= range.start);
            let mut start = range.start;
            for other in other.0[at..]
                .iter()
                .take_while(|other| other.start < range.end)
            {
                rest.push(ByteRange::new(start, other.start));
                start = start.max(other.end);
            }
            rest.push(ByteRange::new(start, range.end));
        }
        rest
    }

    /// Whether every byte of `whole` is in the set.
    #[must_use]
    pub fn covers(&self, whole: ByteRange) -> bool {
        let after = self.0.partition_point(|range| range.start <= whole.start);
        whole.is_empty() || (after > 0 && self.0[after - 1].end >= whole.end)
    }
}

impl FromIterator<ByteRange> for ByteRanges {
    /// Takes runs in any order, empty or overlapping.
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> Self {
        let mut sorted: Vec<ByteRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        // In place: of a fragmented disk there are many millions.
        sorted.retain(|range| !range.is_empty());
        sorted.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        sorted.shrink_to_fit();
        Self(sorted)
    }
}

impl<'a> IntoIterator for &'a ByteRanges {
    type Item = &'a ByteRange;
    type IntoIter = std::slice::Iter<'a, ByteRange>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> ByteRanges {
        ranges
            .iter()
            .map(|&(start, end)| ByteRange::new(start, end))
            .collect()
    }

    #[test]
    fn a_set_is_sorted_and_merged_whatever_goes_in() {
        assert_eq!(
            set(&[(9, 12), (3, 3), (0, 2), (2, 4), (10, 11)]),
            set(&[(0, 4), (9, 12)])
        );
        let mut pushed = set(&[(5, 6), (8, 9)]);
        pushed.push(ByteRange::new(0, 5));
        assert_eq!(
            pushed.as_slice(),
            [ByteRange::new(0, 6), ByteRange::new(8, 9)]
        );
        assert_eq!(pushed.total().bytes(), 7);
    }

    #[test]
    fn gaps_are_what_the_set_leaves_of_a_run() {
        assert_eq!(
            set(&[(0, 4), (9, 12), (20, 30)]).gaps_within(ByteRange::new(2, 25)),
            set(&[(4, 9), (12, 20)])
        );
        assert_eq!(
            set(&[(30, 40)]).gaps_within(ByteRange::new(0, 20)),
            set(&[(0, 20)])
        );
        assert_eq!(
            set(&[(0, 40)]).gaps_within(ByteRange::new(10, 20)),
            ByteRanges::new()
        );
    }

    #[test]
    fn what_is_taken_out_of_a_set_is_gone() {
        let whole = set(&[(0, 10), (20, 30), (40, 50), (60, 70)]);
        let out = set(&[(0, 2), (5, 6), (8, 22), (40, 50), (69, 90)]);
        assert_eq!(
            whole.without(&out),
            set(&[(2, 5), (6, 8), (22, 30), (60, 69)])
        );
        assert_eq!(whole.without(&ByteRanges::new()), whole);
        assert!(whole.without(&whole).is_empty());
    }

    #[test]
    fn what_two_sets_have_in_common_is_in_both() {
        let (one, other) = (
            set(&[(0, 10), (20, 30), (40, 41)]),
            set(&[(5, 25), (28, 60)]),
        );
        let both = set(&[(5, 10), (20, 25), (28, 30), (40, 41)]);
        assert_eq!(
            (one.within(&other), other.within(&one)),
            (both.clone(), both)
        );
        assert_eq!(one.within(&ByteRanges::new()), ByteRanges::new());
        for (start, end, covered) in [
            (0, 10, true),
            (3, 4, true),
            (9, 11, false),
            (15, 16, false),
            (20, 30, true),
            (40, 42, false),
            (50, 50, true),
        ] {
            assert_eq!(
                one.covers(ByteRange::new(start, end)),
                covered,
                "{start}..{end}"
            );
        }
    }
}
