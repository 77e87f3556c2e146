//! Chunks put together from the segments of whole groups.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::chunks::SessionChunk;
use crate::layout::Segment;

/// A compressed chunk as it came: in one or more pieces, in order, without gaps. Not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedChunk {
    /// Which chunk.
    pub number: SessionChunk,
    /// Its bytes in order.
    pub pieces: Vec<Bytes>,
}

impl ReceivedChunk {
    /// Compressed length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In one piece; copies unless it is one already.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            self.pieces.remove(0)
        } else {
            self.pieces.concat().into()
        }
    }
}

#[derive(Debug)]
struct Assembly {
    total: u32,
    /// By offset; they do not overlap.
    pieces: BTreeMap<u32, Bytes>,
    got: u32,
    /// The latest group that added to it.
    newest_group: u32,
}

/// Chunks of which some bytes are there.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: BTreeMap<SessionChunk, Assembly>,
    memory: usize,
}

impl Assembler {
    /// Bytes held.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// Adds a segment's bytes, and gives the chunk when it is complete.
    pub(super) fn add(
        &mut self,
        segment: &Segment,
        bytes: &Bytes,
        group: u32,
    ) -> Option<ReceivedChunk> {
        if self
            .open
            .get(&segment.chunk)
            .is_some_and(|assembly| assembly.total != segment.total)
        {
            self.forget(segment.chunk);
        }
        let assembly = self.open.entry(segment.chunk).or_insert_with(|| Assembly {
            total: segment.total,
            pieces: BTreeMap::new(),
            got: 0,
            newest_group: group,
        });
        assembly.newest_group = assembly.newest_group.max(group);
        for gap in assembly.gaps(segment.offset..segment.offset + segment.length) {
            let piece = bytes
                .slice((gap.start - segment.offset) as usize..(gap.end - segment.offset) as usize);
            assembly.got += gap.end - gap.start;
            self.memory += piece.len();
            assembly.pieces.insert(gap.start, piece);
        }
        if assembly.got < assembly.total {
            return None;
        }
        let assembly = self.open.remove(&segment.chunk)?;
        self.memory -= assembly.got as usize;
        Some(ReceivedChunk {
            number: segment.chunk,
            pieces: assembly.pieces.into_values().collect(),
        })
    }

    /// Drops what there is of a chunk.
    pub(super) fn forget(&mut self, chunk: SessionChunk) {
        if let Some(assembly) = self.open.remove(&chunk) {
            self.memory -= assembly.got as usize;
        }
    }

    /// Drops, of the chunks whose groups are all below `group` (the rest of them comes in a later
    /// pass, if at all), the oldest one. Says whether there was one.
    pub(super) fn forget_stale(&mut self, group: u32) -> bool {
        let stale = self
            .open
            .iter()
            .filter(|(_, assembly)| assembly.newest_group.saturating_add(1) < group);
        let Some(chunk) = stale
            .min_by_key(|(_, assembly)| assembly.newest_group)
            .map(|(chunk, _)| *chunk)
        else {
            return false;
        };
        self.forget(chunk);
        true
    }
}

impl Assembly {
    /// The parts of `range` that are not there yet.
    fn gaps(&self, range: Range<u32>) -> Vec<Range<u32>> {
        let mut gaps = Vec::with_capacity(1);
        let mut at = self
            .pieces
            .range(..=range.start)
            .next_back()
            .map_or(range.start, |(offset, piece)| {
                (offset + piece.len() as u32).max(range.start)
            });
        for (offset, piece) in self.pieces.range(range.start..range.end) {
            if at < *offset {
                gaps.push(at..*offset);
            }
            at = at.max(offset + piece.len() as u32);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_segments_in_any_order_make_the_chunk() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..300 {
            let total = random.u32(1..500);
            let chunk: Bytes = (0..total).map(|_| random.u8(..)).collect();
            let mut assembler = Assembler::default();
            let whole = (0..100_000).find_map(|group| {
                let offset = random.u32(0..total);
                let length = random.u32(1..=(total - offset).min(90));
                let segment = Segment {
                    chunk: SessionChunk(4),
                    total,
                    offset,
                    length,
                };
                assembler.add(
                    &segment,
                    &chunk.slice(offset as usize..(offset + length) as usize),
                    group,
                )
            });
            assert_eq!(whole.unwrap().into_bytes(), chunk);
            assert_eq!(assembler.memory(), 0);
        }
    }

    #[test]
    fn what_is_stale_goes_oldest_first() {
        let mut assembler = Assembler::default();
        for number in 0..3 {
            let segment = Segment {
                chunk: SessionChunk(number),
                total: 10,
                offset: 0,
                length: 5,
            };
            assembler.add(&segment, &Bytes::from_static(&[0; 5]), 7 - number);
        }
        assert!(assembler.forget_stale(7) && !assembler.open.contains_key(&SessionChunk(2)));
        assert!(
            !assembler.forget_stale(7),
            "the other two may be continued in group 7"
        );
        assert_eq!(assembler.memory(), 10);
    }
}
