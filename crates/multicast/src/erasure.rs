//! Restoring what is missing of a group, without the library's decoder.
//!
//! The library's decoder finds the places of the losses by a transform over all 65 536 points of
//! the field, whatever the size of the group, and that takes most of its time. Here the parity of
//! what is there is made again by the (fast) encoder; what it differs by from the parity that came
//! is a small system of linear equations for what is missing. With `n` symbols missing that costs
//! one encoding and `n²` products of a symbol: less than the decoder for every `n` up to 64, and
//! about a sixth of it for the few that are usual.

use reed_solomon_simd::engine::tables::{self, ExpLog};
use reed_solomon_simd::engine::{DefaultEngine, Engine, GfElement, utils};
use reed_solomon_simd::{Error, ReedSolomonEncoder};

use crate::parity::PARITY_SYMBOLS;

type Block = [u8; 64];
const LANES: usize = 32;

/// Solves groups with few losses; keeps its working memory.
#[derive(Default)]
pub(crate) struct ErasureSolver {
    /// Made when the first symbol is missing: its tables take tens of milliseconds, just when a
    /// whole room starts.
    engine: Option<DefaultEngine>,
    encoder: Option<ReedSolomonEncoder>,
    /// How many data symbols `coefficients` is for.
    data_symbols: usize,
    /// Of data symbol `i` in parity symbol `j`, at `j * data_symbols + i`.
    coefficients: Vec<GfElement>,
    /// What the parity that came differs by, symbol after symbol.
    differences: Vec<Block>,
    product: Vec<Block>,
    restored: Vec<Block>,
}

impl std::fmt::Debug for ErasureSolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ErasureSolver").finish_non_exhaustive()
    }
}

impl ErasureSolver {
    /// Restores the data symbols at `missing` (ascending) from at least as many parity symbols,
    /// given with their indices from 0. Says whether it worked; it does when the inputs are as
    /// described.
    pub(crate) fn restore(
        &mut self,
        data: &mut [u8],
        size: usize,
        missing: &[usize],
        parity: &[(usize, &[u8])],
    ) -> bool {
        let parity = parity.get(..missing.len());
        parity.is_some_and(|parity| self.solve(data, size, missing, parity).is_ok())
    }

    fn solve(
        &mut self,
        data: &mut [u8],
        size: usize,
        missing: &[usize],
        parity: &[(usize, &[u8])],
    ) -> Result<(), Error> {
        let data_symbols = data.len() / size;
        self.learn_coefficients(data_symbols)?;
        for index in missing {
            data[index * size..(index + 1) * size].fill(0);
        }
        let blocks = size.div_ceil(64);
        self.find_differences(data, size, blocks, parity)?;
        let count = missing.len();
        let mut matrix = Vec::with_capacity(count * count);
        for (parity_index, _) in parity {
            let row = parity_index * data_symbols;
            matrix.extend(missing.iter().map(|index| self.coefficients[row + index]));
        }
        let inverse = invert(&mut matrix, count);
        let log = &tables::get_exp_log().log;
        let engine = self.engine.get_or_insert_with(DefaultEngine::new);
        for (row, index) in inverse.chunks_exact(count).zip(missing) {
            self.restored.clear();
            self.restored.resize(blocks, [0; 64]);
            for (factor, difference) in row.iter().zip(self.differences.chunks_exact(blocks)) {
                if *factor != 0 {
                    self.product.clear();
                    self.product.extend_from_slice(difference);
                    engine.mul(&mut self.product, log[usize::from(*factor)]);
                    utils::xor(&mut self.restored, &self.product);
                }
            }
            from_blocks(&self.restored, &mut data[index * size..(index + 1) * size]);
        }
        Ok(())
    }

    fn find_differences(
        &mut self,
        data: &[u8],
        size: usize,
        blocks: usize,
        parity: &[(usize, &[u8])],
    ) -> Result<(), Error> {
        let data_symbols = data.len() / size;
        let encoder = prepare(&mut self.encoder, data_symbols, size)?;
        for symbol in data.chunks_exact(size) {
            encoder.add_original_shard(symbol)?;
        }
        let partial = encoder.encode()?;
        self.differences.clear();
        self.differences.resize(parity.len() * blocks, [0; 64]);
        for ((index, symbol), difference) in
            parity.iter().zip(self.differences.chunks_exact_mut(blocks))
        {
            let made = partial
                .recovery(*index)
                .ok_or(Error::InvalidRecoveryShardIndex {
                    recovery_count: PARITY_SYMBOLS,
                    index: *index,
                })?;
            to_blocks(
                symbol.iter().zip(made).map(|(came, made)| came ^ made),
                size,
                difference,
            );
        }
        Ok(())
    }

    /// The code's matrix for groups of this many data symbols: what the encoder makes of unit
    /// vectors.
    fn learn_coefficients(&mut self, data_symbols: usize) -> Result<(), Error> {
        if self.data_symbols == data_symbols {
            return Ok(());
        }
        let size = data_symbols.div_ceil(LANES) * 64;
        let encoder = prepare(&mut self.encoder, data_symbols, size)?;
        let mut unit = vec![0; size];
        for index in 0..data_symbols {
            let low = index / LANES * 64 + index % LANES;
            unit[low] = 1;
            encoder.add_original_shard(&unit)?;
            unit[low] = 0;
        }
        self.coefficients.clear();
        for symbol in encoder.encode()?.recovery_iter() {
            self.coefficients.extend((0..data_symbols).map(|index| {
                let low = index / LANES * 64 + index % LANES;
                u16::from_le_bytes([symbol[low], symbol[low + LANES]])
            }));
        }
        self.data_symbols = data_symbols;
        Ok(())
    }
}

fn prepare(
    encoder: &mut Option<ReedSolomonEncoder>,
    data_symbols: usize,
    size: usize,
) -> Result<&mut ReedSolomonEncoder, Error> {
    match encoder {
        Some(encoder) => {
            encoder.reset(data_symbols, PARITY_SYMBOLS, size)?;
            Ok(encoder)
        }
        none => Ok(none.insert(ReedSolomonEncoder::new(data_symbols, PARITY_SYMBOLS, size)?)),
    }
}

/// As the engine has symbols: in each 64 bytes the low bytes of 32 numbers, then their high bytes.
/// The last block of a symbol whose length is not a multiple of 64 bytes is split in the middle of
/// what there is.
fn to_blocks(mut bytes: impl Iterator<Item = u8>, size: usize, blocks: &mut [Block]) {
    let (whole, tail) = blocks.split_at_mut(size / 64);
    for (to, from) in whole.as_flattened_mut().iter_mut().zip(&mut bytes) {
        *to = from;
    }
    if let Some(last) = tail.first_mut() {
        let half = size % 64 / 2;
        let (low, high) = last.split_at_mut(LANES);
        for (to, from) in low[..half].iter_mut().chain(&mut high[..half]).zip(bytes) {
            *to = from;
        }
    }
}

fn from_blocks(blocks: &[Block], bytes: &mut [u8]) {
    let (whole, tail) = blocks.split_at(bytes.len() / 64);
    let (start, end) = bytes.split_at_mut(whole.len() * 64);
    start.copy_from_slice(whole.as_flattened());
    if let Some(last) = tail.first() {
        let half = end.len() / 2;
        end[..half].copy_from_slice(&last[..half]);
        end[half..].copy_from_slice(&last[LANES..LANES + half]);
    }
}

/// Gauss–Jordan. The matrix is a square part of the code's, which is MDS: it always has an inverse.
fn invert(matrix: &mut [GfElement], count: usize) -> Vec<GfElement> {
    let field = tables::get_exp_log();
    let mut inverse = vec![0; count * count];
    (0..count).for_each(|at| inverse[at * count + at] = 1);
    for column in 0..count {
        let Some(pivot) = (column..count).find(|row| matrix[row * count + column] != 0) else {
            break;
        };
        for at in (0..count).filter(|_| pivot != column) {
            matrix.swap(pivot * count + at, column * count + at);
            inverse.swap(pivot * count + at, column * count + at);
        }
        // Logarithms count modulo 65 535: the negative one is the reciprocal's.
        let reciprocal = u16::MAX - field.log[usize::from(matrix[column * count + column])];
        for values in [&mut *matrix, &mut inverse] {
            values[column * count..][..count]
                .iter_mut()
                .for_each(|value| *value = times(*value, reciprocal, field));
        }
        for row in (0..count).filter(|row| *row != column) {
            let factor = matrix[row * count + column];
            if factor != 0 {
                let log = field.log[usize::from(factor)];
                for at in 0..count {
                    matrix[row * count + at] ^= times(matrix[column * count + at], log, field);
                    inverse[row * count + at] ^= times(inverse[column * count + at], log, field);
                }
            }
        }
    }
    inverse
}

fn times(value: GfElement, log: GfElement, field: &ExpLog) -> GfElement {
    tables::mul(value, log, &field.exp, &field.log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_times_its_matrix_is_one() {
        let mut random = fastrand::Rng::with_seed(2);
        let field = tables::get_exp_log();
        for count in 1..20 {
            let matrix: Vec<u16> = (0..count * count).map(|_| random.u16(1..)).collect();
            let inverse = invert(&mut matrix.clone(), count);
            for (row, column) in
                (0..count).flat_map(|row| (0..count).map(move |column| (row, column)))
            {
                let terms = (0..count).map(|at| {
                    let factor = matrix[at * count + column];
                    times(
                        inverse[row * count + at],
                        field.log[usize::from(factor)],
                        field,
                    )
                });
                assert_eq!(
                    terms.fold(0, |sum, term| sum ^ term),
                    u16::from(row == column)
                );
            }
        }
    }
}
