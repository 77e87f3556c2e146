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

/// Runs between two places from which a set can be read.
const MARK_EVERY: usize = 64;

/// Places on disks are mostly multiples of this.
const UNIT: u64 = 512;

/// A set of bytes as runs: ascending, none empty, none touching or overlapping another.
///
/// Packed, because a fragmented disk has many millions of runs: each takes two to six bytes, for the gap
/// in front of it and its length.
#[derive(Clone, Default)]
pub struct ByteRanges {
    /// All runs but the last.
    packed: Vec<u8>,
    marks: Vec<Mark>,
    count: usize,
    /// Where the last packed run ends.
    packed_end: u64,
    /// The last run, which may still grow.
    last: Option<ByteRange>,
}

/// A place from which packed runs can be read.
#[derive(Clone, Copy)]
struct Mark {
    offset: usize,
    /// Where the run before it ends.
    before: u64,
}

impl ByteRanges {
    /// The set of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            packed: Vec::new(),
            marks: Vec::new(),
            count: 0,
            packed_end: 0,
            last: None,
        }
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn iter(&self) -> Runs<'_> {
        Runs {
            packed: &self.packed,
            at: 0,
            last: self.last,
        }
    }

    /// The ranges that end behind this byte.
    pub fn iter_behind(&self, byte: u64) -> impl Iterator<Item = ByteRange> + '_ {
        // The run in front of a mark ends there: from the last mark that it does not reach.
        let marks = self.marks.partition_point(|mark| mark.before <= byte);
        let mark = marks.checked_sub(1).map(|at| self.marks[at]);
        let (packed, at) = mark.map_or((self.packed.as_slice(), 0), |mark| {
            (&self.packed[mark.offset..], mark.before)
        });
        let runs = Runs {
            packed,
            at,
            last: self.last,
        };
        runs.skip_while(move |range| range.end <= byte)
    }

    /// How many ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count + usize::from(self.last.is_some())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Bytes in the set.
    #[must_use]
    pub fn total(&self) -> ByteCount {
        self.iter().map(|range| range.size()).sum()
    }

    /// Adds a run. Constant time when it starts at or after the start of the last one, as a reader
    /// of bitmaps produces them; otherwise the whole set is read again: for many of these, collect.
    pub fn push(&mut self, range: ByteRange) {
        if !self.append(range) {
            *self = self.union(&[range].into_iter().collect());
        }
    }

    /// Adds a run that does not start before the last one; else does nothing and returns `false`.
    fn append(&mut self, range: ByteRange) -> bool {
        if range.is_empty() {
            return true;
        }
        match &mut self.last {
            Some(last) if range.start < last.start => return false,
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            Some(_) => {
                self.pack_last();
                self.last = Some(range);
            }
            None => self.last = Some(range),
        }
        true
    }

    fn pack_last(&mut self) {
        let Some(last) = self.last.take() else {
            return;
        };
        if self.count.is_multiple_of(MARK_EVERY) {
            self.marks.push(Mark {
                offset: self.packed.len(),
                before: self.packed_end,
            });
        }
        put(&mut self.packed, last.start - self.packed_end);
        put(&mut self.packed, last.end - last.start);
        self.packed_end = last.end;
        self.count += 1;
    }

    /// The same set, `by` bytes further on.
    #[must_use]
    pub fn shifted(&self, by: u64) -> Self {
        self.iter().map(|range| range.shifted(by)).collect()
    }

    /// Adds every run of `other`.
    pub fn extend_from(&mut self, other: &Self) {
        let in_order = match (self.last, other.iter().next()) {
            (Some(last), Some(first)) => first.start >= last.start,
            _ => true,
        };
        if in_order {
            other.iter().for_each(|range| self.push(range));
        } else {
            *self = self.union(other);
        }
    }

    fn union(&self, other: &Self) -> Self {
        let (mut one, mut two) = (self.iter().peekable(), other.iter().peekable());
        let mut all = Self::new();
        loop {
            let next = match (one.peek(), two.peek()) {
                (Some(a), Some(b)) if b.start < a.start => two.next(),
                (Some(_), _) => one.next(),
                (None, _) => two.next(),
            };
            match next {
                Some(range) => all.push(range),
                None => return all,
            }
        }
    }

    /// What of `whole` is not in this set.
    #[must_use]
    pub fn gaps_within(&self, whole: ByteRange) -> Self {
        let mut gaps = Self::new();
        let mut at = whole.start;
        for range in self
            .iter_behind(whole.start)
            .take_while(|range| range.start < whole.end)
        {
            gaps.push(ByteRange::new(at, range.start));
            at = range.end;
        }
        gaps.push(ByteRange::new(at, whole.end));
        gaps
    }

    /// What is in both sets.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let (mut one, mut two) = (self.iter(), other.iter());
        let (mut a, mut b) = (one.next(), two.next());
        let mut both = Self::new();
        while let (Some(here), Some(there)) = (a, b) {
            both.push(ByteRange::new(
                here.start.max(there.start),
                here.end.min(there.end),
            ));
            if here.end < there.end {
                a = one.next();
            } else {
                b = two.next();
            }
        }
        both
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut others = other.iter().peekable();
        let mut rest = Self::new();
        for range in self {
            let mut start = range.start;
            while let Some(out) = others.peek().filter(|out| out.start < range.end).copied() {
                rest.push(ByteRange::new(start, out.start));
                start = start.max(out.end);
                if out.end > range.end {
                    // It may reach into the next one.
                    break;
                }
                others.next();
            }
            rest.push(ByteRange::new(start, range.end));
        }
        rest
    }

    /// Whether every byte of `whole` is in the set.
    #[must_use]
    pub fn covers(&self, whole: ByteRange) -> bool {
        let first = || self.iter_behind(whole.start).next();
        whole.is_empty()
            || first().is_some_and(|range| range.start <= whole.start && range.end >= whole.end)
    }
}

/// Appends a number: 7 bits per byte, the lowest first; of multiples of [`UNIT`] the multiple.
fn put(packed: &mut Vec<u8>, number: u64) {
    let mut rest = if number.is_multiple_of(UNIT) {
        u128::from(number / UNIT) << 1
    } else {
        u128::from(number) << 1 | 1
    };
    while rest > 0x7f {
        packed.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    packed.push(rest as u8);
}

/// Takes a number that [`put`] has appended.
fn take(packed: &mut &[u8]) -> Option<u64> {
    let (mut found, mut shift) = (0_u128, 0);
    loop {
        let (&byte, rest) = packed.split_first()?;
        *packed = rest;
        found |= u128::from(byte & 0x7f) << shift;
        if byte <= 0x7f {
            break;
        }
        shift += 7;
    }
    let number = (found >> 1) as u64;
    Some(if found & 1 == 0 {
        number * UNIT
    } else {
        number
    })
}

/// See [`ByteRanges::iter`].
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    packed: &'a [u8],
    /// Where the run before the next packed one ends.
    at: u64,
    last: Option<ByteRange>,
}

impl Iterator for Runs<'_> {
    type Item = ByteRange;

    fn next(&mut self) -> Option<ByteRange> {
        let Some(gap) = take(&mut self.packed) else {
            return self.last.take();
        };
        let start = self.at + gap;
        self.at = start + take(&mut self.packed)?;
        Some(ByteRange::new(start, self.at))
    }
}

impl PartialEq for ByteRanges {
    fn eq(&self, other: &Self) -> bool {
        self.packed == other.packed && self.last == other.last
    }
}

impl Eq for ByteRanges {}

impl std::fmt::Debug for ByteRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<ByteRange> for ByteRanges {
    /// Takes runs in any order, empty or overlapping. Those that come in the order of the disk are packed
    /// at once; the others wait as they are.
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> Self {
        let mut all = UnorderedRanges::default();
        ranges.into_iter().for_each(|range| all.add(range));
        all.finish()
    }
}

/// A set that grows by runs in any order, most of them ascending.
#[derive(Default, Debug)]
pub struct UnorderedRanges {
    in_order: ByteRanges,
    others: Vec<ByteRange>,
}

impl UnorderedRanges {
    /// Adds a run.
    pub fn add(&mut self, range: ByteRange) {
        if !self.in_order.append(range) {
            self.others.push(range);
        }
    }

    /// All that were added.
    #[must_use]
    pub fn finish(self) -> ByteRanges {
        let mut all = if self.others.is_empty() {
            self.in_order
        } else {
            let mut others = self.others;
            others.sort_unstable();
            let mut sorted = ByteRanges::new();
            others.into_iter().for_each(|range| sorted.push(range));
            sorted.union(&self.in_order)
        };
        all.packed.shrink_to_fit();
        all
    }
}

impl<'a> IntoIterator for &'a ByteRanges {
    type Item = ByteRange;
    type IntoIter = Runs<'a>;

    fn into_iter(self) -> Runs<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

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
            pushed.iter().collect::<Vec<_>>(),
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

    proptest! {
        #[test]
        fn sets_are_what_sets_of_bytes_are(
            one in prop::collection::vec((0_u64..400, 0_u64..40), 0..300),
            other in prop::collection::vec((0_u64..400, 0_u64..40), 0..20),
            unit in prop::sample::select(vec![1_u64, 512, 4096]),
            byte in 0_u64..440,
        ) {
            let made = |list: &[(u64, u64)]| -> ByteRanges {
                let range = |&(start, length): &(u64, u64)| {
                    ByteRange::new(start * unit, (start + length) * unit)
                };
                list.iter().map(range).collect()
            };
            let bytes = |set: &ByteRanges| -> BTreeSet<u64> {
                set.iter()
                    .flat_map(|range| range.start / unit..range.end / unit)
                    .collect()
            };
            let expected = |list: &[(u64, u64)]| -> BTreeSet<u64> {
                list.iter().flat_map(|&(start, length)| start..start + length).collect()
            };
            let (a, b) = (made(&one), made(&other));
            let (left, right) = (expected(&one), expected(&other));
            prop_assert_eq!(bytes(&a), left.clone());
            let ranges: Vec<ByteRange> = a.iter().collect();
            prop_assert_eq!(a.len(), ranges.len());
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let mut both = a.clone();
            both.extend_from(&b);
            prop_assert_eq!(bytes(&both), left.union(&right).copied().collect());
            prop_assert_eq!(bytes(&a.within(&b)), left.intersection(&right).copied().collect());
            prop_assert_eq!(bytes(&a.without(&b)), left.difference(&right).copied().collect());
            let mut pushed = ByteRanges::new();
            ranges.iter().rev().take(20).for_each(|range| pushed.push(*range));
            let last: ByteRanges = ranges.iter().rev().take(20).copied().collect();
            prop_assert_eq!(pushed, last);
            let at = byte * unit;
            let behind: Vec<ByteRange> = a.iter_behind(at).collect();
            prop_assert!(behind.iter().all(|range| range.end > at));
            prop_assert_eq!(&behind[..], &ranges[ranges.len() - behind.len()..]);
            let rest = ranges[..ranges.len() - behind.len()].iter();
            prop_assert!(rest.into_iter().all(|range| range.end <= at));
            prop_assert_eq!(a.covers(ByteRange::new(at, at + unit)), left.contains(&byte));
        }
    }

    #[test]
    fn a_run_of_a_fragmented_disk_takes_few_bytes() {
        let runs = (0..1 << 20).map(|n| ByteRange::new(n * 81_920, n * 81_920 + 4096));
        let set: ByteRanges = runs.clone().collect();
        let bytes = set.packed.capacity() + set.marks.capacity() * size_of::<Mark>();
        assert!(bytes < 4 << 20, "{bytes} bytes");
        assert!(set.iter().eq(runs));
        let whole = ByteRange::new(7, u64::MAX);
        let set: ByteRanges = [whole, ByteRange::new(1, 3)].into_iter().collect();
        assert!(set.iter().eq([ByteRange::new(1, 3), whole]));
    }
}
