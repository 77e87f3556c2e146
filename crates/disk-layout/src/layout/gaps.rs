//! What to do with the bytes between partitions.

use foghorn_image::{ByteRange, ByteRanges};

use super::Partition;

/// Longest gap between partitions that a capture takes: 64 MiB, beyond what any boot loader or
/// alignment uses. Of a longer gap in front of the first partition, where boot loaders are, this
/// much is taken.
pub const MAX_RAW_GAP: u64 = 64 << 20;

/// Divides the gaps in front of and between `partitions` (ascending) inside `region` into what is
/// taken and what is left out. `always` is taken wherever it is, unless a partition has it.
pub(super) fn divide(
    partitions: &[Partition],
    region: ByteRange,
    always: &ByteRanges,
) -> (ByteRanges, ByteRanges) {
    let covered: ByteRanges = partitions.iter().map(Partition::range).collect();
    let mut raw = ByteRanges::new();
    let last_end = partitions
        .last()
        .map_or(region.start, |last| last.range().end);
    for gap in &covered.gaps_within(region) {
        let length = gap.size().bytes();
        if gap.start >= last_end && !partitions.is_empty() {
            // Behind the last partition, see `Layout::left_out`.
        } else if length <= MAX_RAW_GAP {
            raw.push(*gap);
        } else if gap.start == region.start {
            raw.push(ByteRange::new(gap.start, gap.start + MAX_RAW_GAP));
        }
    }
    for range in always {
        raw.extend_from(&covered.gaps_within(*range));
    }
    let mut taken = covered;
    taken.extend_from(&raw);
    let left_out = taken.gaps_within(region);
    (raw, left_out)
}

#[cfg(test)]
mod tests {
    use foghorn_types::{ByteCount, ByteOffset};

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn small_gaps_are_taken_and_large_ones_and_the_tail_are_not() {
        let partition = |number, start, end| Partition {
            number,
            start: ByteOffset::from_bytes(start * MIB),
            size: ByteCount::from_bytes((end - start) * MIB),
        };
        let partitions = [
            partition(1, 100, 200),
            partition(2, 210, 300),
            partition(3, 400, 500),
        ];
        let always = [ByteRange::new(350 * MIB, 350 * MIB + 512)]
            .into_iter()
            .collect();
        let (raw, left_out) = divide(&partitions, ByteRange::new(MIB, 600 * MIB), &always);
        let mib = |list: &[(u64, u64)]| {
            list.iter()
                .map(|&(a, b)| ByteRange::new(a * MIB, b * MIB))
                .collect::<Vec<_>>()
        };
        let mut expected_raw = mib(&[(1, 65), (200, 210)]);
        expected_raw.push(ByteRange::new(350 * MIB, 350 * MIB + 512));
        assert_eq!(raw.as_slice(), expected_raw);
        let mut expected_out = mib(&[(65, 100), (300, 350)]);
        expected_out.push(ByteRange::new(350 * MIB + 512, 400 * MIB));
        expected_out.extend(mib(&[(500, 600)]));
        assert_eq!(left_out.as_slice(), expected_out);
    }
}
