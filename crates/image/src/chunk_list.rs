//! The entries of a manifest in memory, packed as they are encoded.

use bytes::Bytes;
use foghorn_types::ChunkIndex;

use crate::codec::entry::{MAX_ENTRY, put_entry, take_entry};
use crate::cursor::Cursor;
use crate::manifest::ChunkEntry;
use crate::mask::UsedMask;
use crate::part::{MAX_PART, ManifestPart, PART_CHUNKS, PartRef};

/// Entries and bytes between two places of a part from which it can be read. Looking up an entry
/// reads fewer than this.
const MARK_ENTRIES: u32 = 64;
const MARK_BYTES: usize = 512;

/// Chunk entries, strictly ascending by index.
///
/// Takes about 34 bytes for a chunk with data, one for a whole zero chunk, and two or three for
/// every range of a partly used one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChunkList {
    parts: Vec<Packed>,
}

/// The entries of one part.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Packed {
    bytes: Vec<u8>,
    base: u32,
    end: u32,
    /// Number of its first entry in the list, and how many it has.
    first: u32,
    entries: u32,
    marks: Vec<Mark>,
}

/// A place from which a part can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    /// Entries of the part before it.
    entry: u32,
    /// Bytes of the part before it.
    offset: u32,
    /// The index behind the entry before it.
    expected: u32,
}

impl Packed {
    fn new(first: u32, base: u32) -> Self {
        Self {
            bytes: Vec::new(),
            base,
            end: base,
            first,
            entries: 0,
            marks: vec![Mark {
                entry: 0,
                offset: 0,
                expected: base,
            }],
        }
    }

    fn mark_here(&mut self) {
        let last = self
            .marks
            .last()
            .map_or((0, 0), |mark| (mark.entry, mark.offset));
        if self.entries - last.0 >= MARK_ENTRIES || self.bytes.len() - last.1 as usize >= MARK_BYTES
        {
            self.marks.push(Mark {
                entry: self.entries,
                offset: self.bytes.len() as u32,
                expected: self.end,
            });
        }
    }
}

impl ChunkList {
    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts
            .last()
            .map_or(0, |part| part.first as usize + part.entries as usize)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// When its index is not above that of the last one, is the greatest number, which no disk
    /// has, or its ranges are not in order.
    pub fn push(&mut self, entry: &ChunkEntry) {
        let (end, next) = self
            .parts
            .last()
            .map_or((0, 0), |part| (part.end, part.first + part.entries));
        let index = entry.index.get();
        assert!(
            (end..u32::MAX).contains(&index) && is_ascending(&entry.used),
            "entries and their ranges are added in the order of the disk"
        );
        let mut encoded = Vec::with_capacity(40);
        put_entry(&mut encoded, end.into(), entry);
        let fits = self.parts.last().is_some_and(|part| {
            (part.end - 1) / PART_CHUNKS == index / PART_CHUNKS
                && part.bytes.len() + encoded.len() <= MAX_PART
        });
        if !fits {
            if let Some(full) = self.parts.last_mut() {
                full.bytes.shrink_to_fit();
            }
            self.parts.push(Packed::new(next, end));
        }
        let part = self
            .parts
            .last_mut()
            .expect("one was added if there was none");
        part.mark_here();
        part.bytes.extend_from_slice(&encoded);
        part.entries += 1;
        part.end = index + 1;
    }

    /// The entry with this number, counted from 0.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<ChunkEntry> {
        let number = u32::try_from(number).ok()?;
        let at = self.parts.partition_point(|part| part.first <= number);
        let part = at.checked_sub(1)?;
        let within = number - self.parts[part].first;
        if within >= self.parts[part].entries {
            return None;
        }
        let mark = self.parts[part]
            .marks
            .partition_point(|mark| mark.entry <= within);
        let mark = self.parts[part].marks[mark - 1];
        self.iter_from_mark(part, mark)
            .nth((within - mark.entry) as usize)
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> Option<ChunkEntry> {
        self.iter().next()
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<ChunkEntry> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All entries, unpacked one by one.
    #[must_use]
    pub fn iter(&self) -> Entries<'_> {
        let start = Mark {
            entry: 0,
            offset: 0,
            expected: self.parts.first().map_or(0, |part| part.base),
        };
        self.iter_from_mark(0, start)
    }

    /// How many entries have an index below this one.
    #[must_use]
    pub fn count_below(&self, index: ChunkIndex) -> usize {
        let at = self.parts.partition_point(|part| part.end <= index.get());
        let Some(part) = self.parts.get(at) else {
            return self.len();
        };
        let mark = part
            .marks
            .partition_point(|mark| mark.expected <= index.get());
        let mark = part.marks[mark.saturating_sub(1)];
        let rest = self.iter_from_mark(at, mark);
        let before = rest.take_while(|entry| entry.index < index).count();
        part.first as usize + mark.entry as usize + before
    }

    /// The entries from this index on.
    pub fn iter_from(&self, index: ChunkIndex) -> impl Iterator<Item = ChunkEntry> + '_ {
        let part = self.parts.partition_point(|part| part.end <= index.get());
        let mark = self.parts.get(part).map_or(
            Mark {
                entry: 0,
                offset: 0,
                expected: 0,
            },
            |part| {
                let at = part
                    .marks
                    .partition_point(|mark| mark.expected <= index.get());
                part.marks[at.saturating_sub(1)]
            },
        );
        self.iter_from_mark(part, mark)
            .skip_while(move |entry| entry.index < index)
    }

    fn iter_from_mark(&self, part: usize, mark: Mark) -> Entries<'_> {
        let parts = self.parts.get(part..).unwrap_or_default();
        let (rest, left) = parts.first().map_or((&[][..], 0), |first| {
            (
                &first.bytes[mark.offset as usize..],
                first.entries - mark.entry,
            )
        });
        Entries {
            parts,
            cursor: Cursor::new(rest, "chunks"),
            left,
            expected: mark.expected.into(),
        }
    }

    /// How many parts these entries have at most, if every one of them turns out to have data.
    #[must_use]
    pub fn most_parts(&self) -> usize {
        const ID: usize = 32;
        let (mut parts, mut window, mut bytes) = (0, None, 0);
        for part in &self.parts {
            // What all its entries take with an id; the part may then have to be cut further. A cut
            // wastes less than the largest entry.
            let whole = part.bytes.len() + ID * part.entries as usize;
            let here = (part.end - 1) / PART_CHUNKS;
            if window != Some(here) {
                (parts, window, bytes) = (parts + 1, Some(here), 0);
            }
            bytes += whole;
            let room = MAX_PART - MAX_ENTRY as usize;
            (parts, bytes) = (parts + bytes / room, bytes % room);
        }
        parts
    }

    /// Bytes of all entries in their encoded form.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// All entries in their encoded form, in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| part.bytes.as_slice())
    }

    /// The parts of a large manifest with these entries.
    pub fn parts(&self) -> impl Iterator<Item = (PartRef, ManifestPart)> + '_ {
        self.parts.iter().map(|part| part.clone().into_part())
    }

    /// Removes all parts but the last, which may still grow.
    pub(crate) fn take_full(&mut self) -> impl Iterator<Item = (PartRef, ManifestPart)> + '_ {
        let full = self.parts.len().saturating_sub(1);
        self.parts.drain(..full).map(Packed::into_part)
    }

    /// Removes all parts.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = (PartRef, ManifestPart)> + '_ {
        self.parts.drain(..).map(Packed::into_part)
    }
}

fn is_ascending(used: &UsedMask) -> bool {
    match used {
        UsedMask::Whole => true,
        UsedMask::Ranges(ranges) => {
            ranges.iter().all(|range| range.start <= range.end)
                && ranges.windows(2).all(|pair| pair[0].end <= pair[1].start)
        }
    }
}

impl Packed {
    fn into_part(self) -> (PartRef, ManifestPart) {
        let part = ManifestPart::new(Bytes::from(self.bytes));
        let named = PartRef {
            id: part.id,
            base: self.base,
            end: self.end,
            entries: self.entries,
            bytes: part.bytes.len() as u32,
        };
        (named, part)
    }
}

/// See [`ChunkList::iter`].
#[derive(Debug)]
pub struct Entries<'a> {
    /// From the one at hand on.
    parts: &'a [Packed],
    cursor: Cursor<'a>,
    /// Entries that the part at hand still has.
    left: u32,
    expected: u64,
}

impl Iterator for Entries<'_> {
    type Item = ChunkEntry;

    fn next(&mut self) -> Option<ChunkEntry> {
        while self.left == 0 {
            self.parts = self.parts.get(1..)?;
            let next = self.parts.first()?;
            self.cursor = Cursor::new(&next.bytes, "chunks");
            self.left = next.entries;
        }
        let entry = take_entry(&mut self.cursor, self.expected);
        let entry = entry.expect("the entries were encoded here");
        self.left -= 1;
        self.expected = u64::from(entry.index.get()) + 1;
        Some(entry)
    }
}

impl<'a> IntoIterator for &'a ChunkList {
    type Item = ChunkEntry;
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

impl FromIterator<ChunkEntry> for ChunkList {
    /// # Panics
    /// When the entries are not strictly ascending by index.
    fn from_iter<I: IntoIterator<Item = ChunkEntry>>(entries: I) -> Self {
        let mut list = Self::new();
        entries.into_iter().for_each(|entry| list.push(&entry));
        list
    }
}

impl From<Vec<ChunkEntry>> for ChunkList {
    /// # Panics
    /// When the entries are not strictly ascending by index.
    fn from(entries: Vec<ChunkEntry>) -> Self {
        entries.into_iter().collect()
    }
}
