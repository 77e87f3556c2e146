//! Chunks by number, and sets of them.

use std::ops::Range;

use crate::cursor::{Cursor, Malformed, put_varint};

/// Most chunks a session may have: 16 TiB of distinct data.
pub const MAX_CHUNKS: u32 = 1 << 24;

/// Number of a chunk within its session, from 0. Which chunk of an image that is, the drivers know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionChunk(pub u32);

/// A set of chunks, as a bitmap that begins at its first word that is not empty.
///
/// Costs a bit per chunk between its smallest and its greatest; numbers are below [`MAX_CHUNKS`].
#[derive(Clone, Default, Debug)]
pub struct ChunkSet {
    /// Index of the first word kept.
    base: usize,
    words: Vec<u64>,
    count: u32,
}

const RANGES: u8 = 0;
const BITMAP: u8 = 1;

impl ChunkSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            base: 0,
            words: Vec::new(),
            count: 0,
        }
    }

    /// All chunks below `count`.
    #[must_use]
    pub fn all(count: u32) -> Self {
        let mut set = Self::new();
        set.insert_range(0..count);
        set
    }

    /// How many chunks are in it.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether it has no chunk.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the chunk is in it.
    #[must_use]
    pub fn contains(&self, number: SessionChunk) -> bool {
        let (word, bit) = place(number);
        word.checked_sub(self.base)
            .and_then(|at| self.words.get(at))
            .is_some_and(|word| word & bit != 0)
    }

    /// Adds a chunk; says whether it is new. Numbers of [`MAX_CHUNKS`] and above are not taken.
    pub fn insert(&mut self, number: SessionChunk) -> bool {
        if number.0 >= MAX_CHUNKS {
            return false;
        }
        let (word, bit) = place(number);
        let word = self.word_mut(word);
        let new = *word & bit == 0;
        *word |= bit;
        self.count += u32::from(new);
        new
    }

    /// Adds chunks up to, not including, `range.end`.
    pub fn insert_range(&mut self, range: Range<u32>) {
        for number in range.start..range.end.min(MAX_CHUNKS) {
            self.insert(SessionChunk(number));
        }
    }

    /// Takes a chunk out; says whether it was there.
    pub fn remove(&mut self, number: SessionChunk) -> bool {
        let (word, bit) = place(number);
        let Some(word) = word
            .checked_sub(self.base)
            .and_then(|at| self.words.get_mut(at))
        else {
            return false;
        };
        let there = *word & bit != 0;
        *word &= !bit;
        self.count -= u32::from(there);
        there
    }

    /// Adds what is in `other`.
    pub fn union_with(&mut self, other: &Self) {
        for number in other.iter() {
            self.insert(number);
        }
    }

    /// Takes out what is in `other`.
    pub fn remove_all(&mut self, other: &Self) {
        for number in other.iter() {
            self.remove(number);
        }
    }

    /// The smallest chunk that is not below `from`.
    #[must_use]
    pub fn next_from(&self, from: SessionChunk) -> Option<SessionChunk> {
        let (word, bit) = place(from);
        let (start, mut mask) = if word < self.base {
            (0, !0)
        } else {
            (word - self.base, !(bit - 1))
        };
        for (at, word) in self.words.iter().enumerate().skip(start) {
            let found = word & mask;
            if found != 0 {
                return Some(SessionChunk(
                    ((self.base + at) * 64) as u32 + found.trailing_zeros(),
                ));
            }
            mask = !0;
        }
        None
    }

    /// Whether a chunk of this range (end included) is in the set.
    #[must_use]
    pub fn touches(&self, first: SessionChunk, last: SessionChunk) -> bool {
        self.next_from(first).is_some_and(|found| found <= last)
    }

    /// The greatest chunk.
    #[must_use]
    pub fn last(&self) -> Option<SessionChunk> {
        let at = self.words.iter().rposition(|word| *word != 0)?;
        Some(SessionChunk(
            ((self.base + at) * 64) as u32 + 63 - self.words[at].leading_zeros(),
        ))
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = SessionChunk> + '_ {
        let base = self.base;
        self.words.iter().enumerate().flat_map(move |(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(SessionChunk(((base + at) * 64) as u32 + bit))
            })
        })
    }

    /// Runs of chunks, ascending; each ends before the next begins.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut numbers = self.iter().peekable();
        std::iter::from_fn(move || {
            let start = numbers.next()?.0;
            let mut end = start + 1;
            while numbers.next_if(|next| next.0 == end).is_some() {
                end += 1;
            }
            Some(start..end)
        })
    }

    /// As bytes for a message: as runs or as a bitmap, whichever is shorter. At most about an
    /// eighth of a byte per chunk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bitmap = self.encode_bitmap();
        let mut out = vec![RANGES];
        put_varint(&mut out, self.ranges().count() as u64);
        let mut previous = 0;
        for range in self.ranges() {
            put_varint(&mut out, u64::from(range.start - previous));
            put_varint(&mut out, u64::from(range.end - range.start));
            previous = range.end;
            if out.len() > bitmap.len() {
                return bitmap;
            }
        }
        out
    }

    /// Reads [`encode`](Self::encode)'s bytes; every chunk must be below `chunks`.
    ///
    /// # Errors
    /// What is wrong with them. Nothing is reserved that the bytes do not account for.
    pub fn decode(bytes: &[u8], chunks: u32) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes, "chunk set");
        let set = match cursor.u8()? {
            RANGES => Self::decode_ranges(&mut cursor, chunks.min(MAX_CHUNKS))?,
            BITMAP => return Self::decode_bitmap(cursor, chunks.min(MAX_CHUNKS)),
            _ => return Err(cursor.malformed("unknown kind")),
        };
        cursor.end()?;
        Ok(set)
    }

    fn encode_bitmap(&self) -> Vec<u8> {
        let mut out = vec![BITMAP];
        put_varint(&mut out, self.base as u64);
        out.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        while out.last() == Some(&0) && out.len() > 2 {
            out.pop();
        }
        out
    }

    fn decode_ranges(cursor: &mut Cursor<'_>, chunks: u32) -> Result<Self, Malformed> {
        let count: u32 = cursor.number()?;
        let mut set = Self::new();
        let mut previous = 0_u32;
        for _ in 0..count {
            let gap: u32 = cursor.number()?;
            let length: u32 = cursor.number()?;
            let start = previous
                .checked_add(gap)
                .ok_or(cursor.malformed("number too large"))?;
            let end = start
                .checked_add(length)
                .ok_or(cursor.malformed("number too large"))?;
            if length == 0 || end > chunks {
                return Err(cursor.malformed("a run is empty or beyond the last chunk"));
            }
            set.insert_range(start..end);
            previous = end;
        }
        Ok(set)
    }

    fn decode_bitmap(mut cursor: Cursor<'_>, chunks: u32) -> Result<Self, Malformed> {
        let base: u32 = cursor.number()?;
        let mut set = Self::new();
        for (at, byte) in cursor.rest().iter().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let number = u64::from(base) * 64 + at as u64 * 8 + bit;
                if number >= u64::from(chunks) {
                    return Err(cursor.malformed("a chunk beyond the last"));
                }
                set.insert(SessionChunk(number as u32));
            }
        }
        Ok(set)
    }

    fn word_mut(&mut self, word: usize) -> &mut u64 {
        if self.words.is_empty() {
            self.base = word;
        }
        if word < self.base {
            self.words
                .splice(0..0, std::iter::repeat_n(0, self.base - word));
            self.base = word;
        }
        let at = word - self.base;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        &mut self.words[at]
    }
}

/// Sets are equal when they have the same chunks, however their bitmaps came about.
impl PartialEq for ChunkSet {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for ChunkSet {}

impl FromIterator<SessionChunk> for ChunkSet {
    fn from_iter<T: IntoIterator<Item = SessionChunk>>(numbers: T) -> Self {
        let mut set = Self::new();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

const fn place(number: SessionChunk) -> (usize, u64) {
    (number.0 as usize / 64, 1 << (number.0 % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(numbers: &BTreeSet<u32>) -> ChunkSet {
        numbers.iter().copied().map(SessionChunk).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(a in prop::collection::btree_set(0..3000_u32, 0..200),
                                       b in prop::collection::btree_set(0..3000_u32, 0..200),
                                           from in 0..3100_u32) {
            let (mut x, y) = (set(&a), set(&b));
            prop_assert_eq!(
                x.next_from(SessionChunk(from)).map(|n| n.0),
                a.range(from..).next().copied()
            );
            prop_assert_eq!(x.last().map(|n| n.0), a.last().copied());
            x.union_with(&y);
            prop_assert_eq!(&x, &set(&a.union(&b).copied().collect()));
            x.remove_all(&y);
            prop_assert_eq!(&x, &set(&a.difference(&b).copied().collect()));
            prop_assert_eq!(x.len() as usize, x.iter().count());
            prop_assert_eq!(x.ranges().map(|r| r.len()).sum::<usize>(), x.len() as usize);
        }

        #[test]
        fn survives_its_encoding(a in prop::collection::btree_set(0..5000_u32, 0..800)) {
            let bytes = set(&a).encode();
            prop_assert_eq!(ChunkSet::decode(&bytes, 5000).unwrap(), set(&a));
            prop_assert!(bytes.len() <= 12 + 5000 / 8);
            if let Some(last) = a.last() {
                prop_assert!(ChunkSet::decode(&bytes, *last).is_err());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(set) = ChunkSet::decode(&bytes, 100_000) {
                prop_assert!(set.iter().all(|number| number.0 < 100_000));
            }
        }
    }

    #[test]
    fn a_whole_image_takes_a_few_bytes() {
        assert_eq!(ChunkSet::all(1_000_000).encode().len(), 6);
    }
}
