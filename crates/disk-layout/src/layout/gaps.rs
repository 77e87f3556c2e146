//! What to do with the bytes between partitions.

use foghorn_image::{ByteRange, ByteRanges};

use super::Partition;

/// Longest gap between partitions of which every byte counts, zero or not: 64 MiB, beyond what any
/// boot loader or alignment uses. Of a longer one only what is not zero matters.
pub const MAX_RAW_GAP: u64 = 64 << 20;

/// What to do with the bytes outside the partitions.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Taken.
    pub(super) raw: ByteRanges,
    /// Of these, gaps above [`MAX_RAW_GAP`].
    pub(super) sparse: ByteRanges,
    /// Of the gaps that are taken, those between partitions: no system keeps anything there, as far
    /// as is known. Boot loaders are in front of the first partition.
    pub(super) between: ByteRanges,
    /// Not taken: what lies behind the last partition.
    pub(super) tail: ByteRanges,
}

/// Divides the gaps around `partitions` (ascending) inside `region`. `tables` are not gaps although
/// no partition has them; `always` is taken wherever it is, unless a partition has it. On a disk
/// without partitions, [`MAX_RAW_GAP`] bytes at the start are taken, where boot loaders are.
pub(super) fn divide(
    partitions: &[Partition],
    tables: &ByteRanges,
    region: ByteRange,
    always: &ByteRanges,
) -> Gaps {
    let covered: ByteRanges = partitions.iter().map(Partition::range).collect();
    let last_end = partitions
        .last()
        .map_or(region.start.saturating_add(MAX_RAW_GAP), |last| {
            last.range().end
        });
    let first_start = partitions
        .first()
        .map_or(u64::MAX, |first| first.range().start);
    let mut gaps = Gaps::default();
    let mut taken = covered.clone();
    taken.extend_from(tables);
    let before = ByteRange::new(region.start, region.end.min(last_end));
    for gap in taken.gaps_within(before).iter() {
        gaps.raw.push(gap);
        if gap.start >= first_start {
            gaps.between.push(gap);
        }
        if gap.size().bytes() > MAX_RAW_GAP {
            gaps.sparse.push(gap);
        }
    }
    for range in always {
        gaps.raw.extend_from(&covered.gaps_within(range));
    }
    gaps.between = gaps.between.without(always);
    taken.extend_from(&gaps.raw);
    gaps.tail = taken.gaps_within(region);
    gaps
}

impl Gaps {
    /// Takes also what lies behind the last partition, where it is not zero: structures are there
    /// that belong to this disk.
    pub(super) fn take_tail(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        self.raw.extend_from(&tail);
        self.sparse.extend_from(&tail);
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::{ByteCount, ByteOffset};

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn gaps_are_taken_and_the_tail_is_not() {
        let partition = |number, start, end| Partition {
            number,
            start: ByteOffset::from_bytes(start * MIB),
            size: ByteCount::from_bytes((end - start) * MIB),
            declared: crate::layout::DeclaredType::Unknown,
        };
        let partitions = [
            partition(1, 100, 200),
            partition(2, 210, 300),
            partition(3, 400, 500),
        ];
        let range = |start, end| ByteRange::new(start * MIB, end * MIB);
        let tables = [range(3, 4)].into_iter().collect();
        let always = [range(320, 321), range(510, 511)].into_iter().collect();
        let gaps = divide(&partitions, &tables, range(1, 600), &always);
        let list = |ranges: &[(u64, u64)]| -> ByteRanges {
            ranges.iter().map(|&(a, b)| range(a, b)).collect()
        };
        assert_eq!(
            gaps.raw,
            list(&[(1, 3), (4, 100), (200, 210), (300, 400), (510, 511)])
        );
        assert_eq!(gaps.sparse, list(&[(4, 100), (300, 400)]));
        assert_eq!(gaps.between, list(&[(200, 210), (300, 320), (321, 400)]));
        assert_eq!(gaps.tail, list(&[(500, 510), (511, 600)]));
    }

    #[test]
    fn a_disk_without_partitions_keeps_its_start() {
        let region = ByteRange::new(MIB, 600 * MIB);
        let gaps = divide(&[], &ByteRanges::new(), region, &ByteRanges::new());
        let start = ByteRange::new(MIB, 65 * MIB);
        assert_eq!(gaps.raw, [start].into_iter().collect());
        assert!(gaps.sparse.is_empty());
    }
}
