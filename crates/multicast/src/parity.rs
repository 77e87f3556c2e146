//! Reed–Solomon over the symbols of a group: Leopard's code over GF(2¹⁶), as `reed-solomon-simd` makes it.
//!
//! A group always has the code for [`PARITY_SYMBOLS`] parity symbols, so that any of them can be made at any time. With
//! at most 192 data symbols the decoder works on 256 points, a power of two.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

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
    /// All parity symbols of a group, back to back. `data` is a whole number of symbols, 1 to [`MAX_DATA_SYMBOLS`].
    pub(crate) fn encode(&mut self, data: &[u8], symbol_size: usize) -> Vec<u8> {
        let count = data.len() / symbol_size;
        let encoder = match &mut self.inner {
            Some(encoder) => {
                encoder.reset(count, PARITY_SYMBOLS, symbol_size).expect("counts and size were checked");
                encoder
            }
            none => none.insert(
                ReedSolomonEncoder::new(count, PARITY_SYMBOLS, symbol_size).expect("counts and size were checked"),
            ),
        };
        for symbol in data.chunks_exact(symbol_size) {
            encoder.add_original_shard(symbol).expect("the number and size of symbols were announced");
        }
        let mut out = Vec::with_capacity(PARITY_SYMBOLS * symbol_size);
        for symbol in encoder.encode().expect("all symbols are there").recovery_iter() {
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

/// Restores data symbols; keeps its working memory.
#[derive(Default)]
pub(crate) struct ParityDecoder {
    inner: Option<ReedSolomonDecoder>,
}

impl ParityDecoder {
    /// Fills in the data symbols for which `have` is false. `parity` gives index (from 0) and bytes of as many parity
    /// symbols as data symbols are missing. Says whether it worked; it does when the inputs are as described.
    pub(crate) fn restore<'a>(
        &mut self,
        data: &mut [u8],
        symbol_size: usize,
        have: impl Fn(usize) -> bool,
        parity: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> bool {
        self.try_restore(data, symbol_size, have, parity).is_ok()
    }

    fn try_restore<'a>(
        &mut self,
        data: &mut [u8],
        symbol_size: usize,
        have: impl Fn(usize) -> bool,
        parity: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Result<(), reed_solomon_simd::Error> {
        let count = data.len() / symbol_size;
        let decoder = match &mut self.inner {
            Some(decoder) => {
                decoder.reset(count, PARITY_SYMBOLS, symbol_size)?;
                decoder
            }
            none => none.insert(ReedSolomonDecoder::new(count, PARITY_SYMBOLS, symbol_size)?),
        };
        for (index, symbol) in data.chunks_exact(symbol_size).enumerate().filter(|(index, _)| have(*index)) {
            decoder.add_original_shard(index, symbol)?;
        }
        for (index, symbol) in parity {
            decoder.add_recovery_shard(index, symbol)?;
        }
        let restored = decoder.decode()?;
        for (index, symbol) in restored.restored_original_iter() {
            data[index * symbol_size..(index + 1) * symbol_size].copy_from_slice(symbol);
        }
        Ok(())
    }
}

impl std::fmt::Debug for ParityDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParityDecoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_loss_up_to_the_parity_is_restored() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut encoder, mut decoder) = (ParityEncoder::default(), ParityDecoder::default());
        for count in [1, 2, 3, 63, 64, 65, 128, 192] {
            for size in [2, 62, 64, 100, 1432] {
                let data: Vec<u8> = (0..count * size).map(|_| random.u8(..)).collect();
                let parity = encoder.encode(&data, size);
                let lost = random.usize(1..=count.min(PARITY_SYMBOLS));
                let have: Vec<bool> = {
                    let mut have: Vec<bool> = (0..count).map(|index| index >= lost).collect();
                    random.shuffle(&mut have);
                    have
                };
                let mut symbols: Vec<(usize, &[u8])> = parity.chunks_exact(size).enumerate().collect();
                random.shuffle(&mut symbols);
                let mut damaged = data.clone();
                for index in (0..count).filter(|index| !have[*index]) {
                    damaged[index * size..(index + 1) * size].fill(0xAA);
                }
                assert!(!decoder.restore(&mut damaged.clone(), size, |i| have[i], symbols[1..lost].iter().copied()));
                assert!(decoder.restore(&mut damaged, size, |i| have[i], symbols[..lost].iter().copied()));
                assert_eq!(damaged, data, "{count} symbols of {size} bytes, {lost} lost");
            }
        }
    }
}
