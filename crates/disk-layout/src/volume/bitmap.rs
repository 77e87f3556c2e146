//! Runs of set bits in allocation bitmaps.

use std::ops::Range;

/// Calls `found` for every run of set bits among the first `count` bits, lowest bit of each byte
/// first, ascending. `count` is at most the number of bits there are.
pub(super) fn runs_of_ones(bits: &[u8], count: u64, mut found: impl FnMut(Range<u64>)) {
    let mut start = None;
    let mut at = 0;
    for &byte in bits {
        if at >= count {
            break;
        }
        // Most bytes are all ones or all zeros, and then change at most one thing.
        match byte {
            0xff if start.is_some() => {}
            0x00 if start.is_none() => {}
            _ => {
                for bit in 0..8 {
                    match (byte >> bit & 1 == 1, start) {
                        (true, None) => start = Some(at + bit),
                        (false, Some(from)) => {
                            emit(from..at + bit, count, &mut found);
                            start = None;
                        }
                        _ => {}
                    }
                }
            }
        }
        at += 8;
    }
    if let Some(from) = start {
        emit(from..at, count, &mut found);
    }
}

fn emit(run: Range<u64>, count: u64, found: &mut impl FnMut(Range<u64>)) {
    let run = run.start..run.end.min(count);
    if !run.is_empty() {
        found(run);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_cover_exactly_the_set_bits(
            bits in proptest::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()],
                0..20),
            short in 0..9_u64,
        ) {
            let count = (bits.len() as u64 * 8).saturating_sub(short);
            let mut found = vec![false; bits.len() * 8];
            let mut last = None;
            runs_of_ones(&bits, count, |run| {
                assert!(last < Some(run.start), "runs touch or are out of order");
                last = Some(run.end);
                found[run.start as usize..run.end as usize].fill(true);
            });
            for at in 0..found.len() {
                let expected = (at as u64) < count && bits[at / 8] >> (at % 8) & 1 == 1;
                prop_assert_eq!(found[at], expected, "bit {}", at);
            }
        }
    }
}
