//! Reed–Solomon over the symbols of a group: Leopard's code over GF(2¹⁶), as `reed-solomon-simd`
//! makes it.
//!
//! A group always has the code for [`PARITY_SYMBOLS`] parity symbols, so that any of them can be
//! made at any time. How lost symbols are restored is in `erasure.rs`.

use reed_solomon_simd::ReedSolomonEncoder;

use crate::rope::Rope;

/// Parity symbols of a group's code. A change is another protocol: the code's symbols depend on it.
pub const PARITY_SYMBOLS: usize = 64;
/// Most data symbols of a group.
pub const MAX_DATA_SYMBOLS: usize = 192;

/// Makes parity symbols; keeps its working memory.
#[derive(Default)]
pub(crate) struct ParityEncoder {
    inner: Option<ReedSolomonEncoder>,
}

impl ParityEncoder {
    /// The first `wanted` parity symbols of a group, back to back. `data` is a whole number of
    /// symbols, 1 to [`MAX_DATA_SYMBOLS`]. `scratch` is working memory.
    pub(crate) fn encode(
        &mut self,
        data: &Rope,
        symbol_size: usize,
        wanted: usize,
        scratch: &mut Vec<u8>,
    ) -> Vec<u8> {
        let count = data.len() / symbol_size;
        let encoder = match &mut self.inner {
            Some(encoder) => {
                encoder
                    .reset(count, PARITY_SYMBOLS, symbol_size)
                    .expect("counts and size were checked");
                encoder
            }
            none => none.insert(
                ReedSolomonEncoder::new(count, PARITY_SYMBOLS, symbol_size)
                    .expect("counts and size were checked"),
            ),
        };
        for index in 0..count {
            let symbol = data.slice(index * symbol_size, symbol_size, scratch);
            encoder
                .add_original_shard(symbol)
                .expect("the number and size of symbols were announced");
        }
        let mut out = Vec::with_capacity(wanted * symbol_size);
        for symbol in encoder
            .encode()
            .expect("all symbols are there")
            .recovery_iter()
            .take(wanted)
        {
            out.extend_from_slice(symbol);
        }
        out
    }
}

impl std::fmt::Debug for ParityEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParityEncoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erasure::ErasureSolver;

    fn rope(data: &[u8]) -> Rope {
        // Two pieces, so that a symbol lies in both.
        let (head, tail) = data.split_at(data.len() / 2);
        Rope::new(
            [head, tail].map(bytes::Bytes::copy_from_slice).into_iter(),
            data.len(),
        )
    }

    #[test]
    fn any_loss_up_to_the_parity_is_restored_as_the_library_does() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut encoder, mut solver) = (ParityEncoder::default(), ErasureSolver::default());
        for count in [1, 2, 3, 31, 32, 33, 63, 64, 65, 128, 192] {
            for size in [2, 62, 64, 100, 1432] {
                let data: Vec<u8> = (0..count * size).map(|_| random.u8(..)).collect();
                let parity = encoder.encode(&rope(&data), size, PARITY_SYMBOLS, &mut Vec::new());
                let mut symbols: Vec<(usize, &[u8])> =
                    parity.chunks_exact(size).enumerate().collect();
                random.shuffle(&mut symbols);
                let mut missing: Vec<usize> = (0..count).collect();
                random.shuffle(&mut missing);
                missing.truncate(random.usize(1..=count.min(PARITY_SYMBOLS)));
                missing.sort_unstable();
                symbols.truncate(missing.len());
                let mut damaged = data.clone();
                for index in &missing {
                    damaged[index * size..(index + 1) * size].fill(0xAA);
                }
                assert!(!solver.restore(&mut damaged, size, &missing, &symbols[1..]));
                assert!(solver.restore(&mut damaged, size, &missing, &symbols));
                assert!(
                    damaged == data,
                    "{count} symbols of {size} bytes, {missing:?} missing"
                );
                let there = data
                    .chunks_exact(size)
                    .enumerate()
                    .filter(|(index, _)| !missing.contains(index));
                let decoded = reed_solomon_simd::decode(
                    count,
                    PARITY_SYMBOLS,
                    there,
                    symbols.iter().copied(),
                )
                .unwrap();
                assert!(
                    missing
                        .iter()
                        .all(|index| decoded[index] == data[index * size..(index + 1) * size])
                );
            }
        }
    }

    /// `cargo test -p foghorn-multicast --lib how_long -- --ignored --nocapture`
    #[test]
    #[ignore = "prints times"]
    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "measures; decides nothing"
    )]
    fn how_long_restoring_takes() {
        let (count, size) = (192, 1432);
        let data: Vec<u8> = (0..count * size).map(|at| (at * at) as u8).collect();
        let (mut encoder, mut solver) = (ParityEncoder::default(), ErasureSolver::default());
        let time = |name: &str, mut call: Box<dyn FnMut() + '_>| {
            let times = (0..200).map(|_| {
                let start = std::time::Instant::now();
                call();
                start.elapsed()
            });
            println!("{name}: {:?}", times.min().unwrap());
        };
        let (rope, mut scratch) = (rope(&data), Vec::new());
        time(
            "encode",
            Box::new(|| drop(encoder.encode(&rope, size, PARITY_SYMBOLS, &mut scratch))),
        );
        let parity = encoder.encode(&rope, size, PARITY_SYMBOLS, &mut Vec::new());
        for lost in [1, 2, 4, 8, 16, 32, 64] {
            let missing: Vec<usize> = (0..lost).map(|n| n * 3).collect();
            let symbols: Vec<(usize, &[u8])> =
                parity.chunks_exact(size).enumerate().take(lost).collect();
            let mut solved = data.clone();
            time(
                &format!("{lost} lost, solver"),
                Box::new(|| assert!(solver.restore(&mut solved, size, &missing, &symbols))),
            );
            let there = || {
                data.chunks_exact(size)
                    .enumerate()
                    .filter(|(index, _)| !missing.contains(index))
            };
            let decode = || {
                reed_solomon_simd::decode(count, PARITY_SYMBOLS, there(), symbols.iter().copied())
                    .unwrap()
            };
            time(
                &format!("{lost} lost, decoder"),
                Box::new(|| drop(decode())),
            );
        }
    }
}
