//! The bytes of a group as pieces of chunks, which are not copied together.

use bytes::Bytes;

/// Pieces that count as one row of bytes, with zeros behind them up to `len`.
#[derive(Debug)]
pub(crate) struct Rope {
    /// Each with where it ends; never empty.
    pieces: Vec<(usize, Bytes)>,
    len: usize,
}

impl Rope {
    /// `len` is no less than the pieces together.
    pub(crate) fn new(pieces: impl Iterator<Item = Bytes>, len: usize) -> Self {
        let mut end = 0;
        let pieces = pieces.filter(|piece| !piece.is_empty()).map(|piece| {
            end += piece.len();
            (end, piece)
        });
        Self {
            pieces: pieces.collect(),
            len,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// `size` bytes from `at` on, all below [`len`](Self::len); copied to `scratch` only where they
    /// lie in several pieces.
    pub(crate) fn slice<'a>(
        &'a self,
        at: usize,
        size: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let first = self.pieces.partition_point(|(end, _)| *end <= at);
        if let Some((end, piece)) = self.pieces.get(first)
            && at + size <= *end
        {
            let start = at + piece.len() - end;
            return &piece[start..start + size];
        }
        scratch.clear();
        let mut from = at;
        for (end, piece) in &self.pieces[first..] {
            if scratch.len() == size {
                break;
            }
            let start = from + piece.len() - end;
            let taken = (size - scratch.len()).min(end - from);
            scratch.extend_from_slice(&piece[start..start + taken]);
            from += taken;
        }
        scratch.resize(size, 0);
        scratch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_the_whole() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..500 {
            let pieces: Vec<Bytes> = (0..random.usize(0..6))
                .map(|_| (0..random.usize(0..40)).map(|_| random.u8(1..)).collect())
                .collect();
            let mut whole = pieces.concat();
            let padding = random.usize(0..20);
            whole.resize(whole.len() + padding, 0);
            let rope = Rope::new(pieces.into_iter(), whole.len());
            assert_eq!(rope.len(), whole.len());
            let mut scratch = Vec::new();
            for at in 0..whole.len() {
                let size = random.usize(1..=whole.len() - at);
                assert_eq!(rope.slice(at, size, &mut scratch), &whole[at..at + size]);
            }
        }
    }
}
