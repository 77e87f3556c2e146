//! A manifest without its entries in memory: what agents work with, whatever a client sends.

use bytes::Bytes;
use foghorn_types::{ByteCount, ChunkIndex, PartId};

use crate::chunk_list::ChunkList;
use crate::codec::entry::take_entry;
use crate::codec::{DecodeManifestError, encode_root};
use crate::cursor::Cursor;
use crate::disks::ImageDisk;
use crate::geometry::DiskGeometry;
use crate::manifest::{ChunkContent, ChunkEntry, FileSystem, Manifest};
use crate::note::Note;
use crate::part::{MAX_INLINE, MAX_PART, ManifestPart, PartRef};
use crate::ranges::ByteRange;
use crate::table::PartitionTable;
use crate::validate::validate_chunk;

/// What a manifest has beside its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) geometry: DiskGeometry,
    pub(crate) table: &'a PartitionTable,
    pub(crate) file_systems: &'a [FileSystem],
    pub(crate) notes: &'a [Note],
    pub(crate) disks: &'a [ImageDisk],
}

/// A decoded manifest whose entries are read one by one when they are needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestRoot {
    /// Size of the disk and of its sectors.
    pub geometry: DiskGeometry,
    /// The partition table as data.
    pub table: PartitionTable,
    /// Ascending by start, none overlapping.
    pub file_systems: Vec<FileSystem>,
    /// What whoever deploys it should know.
    pub notes: Vec<Note>,
    /// The disks, when they are two or more.
    pub disks: Vec<ImageDisk>,
    pub(crate) chunks: RootChunks,
}

/// Where the entries are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RootChunks {
    /// Here, encoded and not looked at yet.
    Inline { count: u32, bytes: Bytes },
    /// In these parts.
    Parts(Vec<PartRef>),
}

/// A manifest in figures that need no memory to count, see [`ManifestRoot::walk`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EntryCount {
    /// Bytes in use, zero or not, in units of 512.
    pub used: ByteCount,
    /// Entries with data.
    pub data: u64,
    /// Entries in use that hold only zeros.
    pub zero: u64,
}

impl EntryCount {
    /// Counts one entry.
    pub fn add(&mut self, geometry: DiskGeometry, entry: &ChunkEntry) {
        let length = geometry.chunk_len(entry.index);
        self.used += ByteCount::from_bytes(entry.used.used_bytes(length));
        match entry.content {
            ChunkContent::Zero => self.zero += 1,
            ChunkContent::Data(_) => self.data += 1,
        }
    }
}

impl ManifestRoot {
    pub(crate) fn head(&self) -> Head<'_> {
        Head {
            geometry: self.geometry,
            table: &self.table,
            file_systems: &self.file_systems,
            notes: &self.notes,
            disks: &self.disks,
        }
    }

    /// Where its disks lie when they are two or more; otherwise none.
    #[must_use]
    pub fn disk_places(&self) -> Vec<ByteRange> {
        self.head().places()
    }

    /// The parts that it names, in order; none when it has its entries itself.
    #[must_use]
    pub fn parts(&self) -> &[PartRef] {
        match &self.chunks {
            RootChunks::Inline { .. } => &[],
            RootChunks::Parts(parts) => parts,
        }
    }

    /// Starts reading the entries in the order of the disk.
    #[must_use]
    pub fn reader(&self) -> EntryReader<'_> {
        EntryReader {
            root: self,
            places: self.head().places(),
            expected: 0,
            at: 0,
        }
    }

    /// Goes through all entries in the order of the disk and checks them on the way. `load` gets
    /// the parts that are named; one is in memory at a time.
    ///
    /// # Errors
    /// The first thing that does not hold, and whatever `load` and `each` fail with.
    pub fn walk<E: From<DecodeManifestError>>(
        &self,
        mut load: impl FnMut(PartId) -> Result<Bytes, E>,
        mut each: impl FnMut(ChunkEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = self.reader();
        reader.inline(&mut each)?;
        while let Some(part) = reader.next_part() {
            reader.part(&load(part.id)?, &mut each)?;
        }
        Ok(())
    }

    /// The whole manifest in memory. `load` gets the parts.
    ///
    /// # Errors
    /// See [`walk`](Self::walk).
    pub fn with_parts<E: From<DecodeManifestError>>(
        self,
        load: impl FnMut(PartId) -> Result<Bytes, E>,
    ) -> Result<Manifest, E> {
        let mut chunks = ChunkList::new();
        self.walk(load, |entry| {
            chunks.push(&entry);
            Ok(())
        })?;
        Ok(self.with_chunks(chunks))
    }

    /// The whole manifest, with entries that were read with a [`reader`](Self::reader).
    #[must_use]
    pub fn with_chunks(self, chunks: ChunkList) -> Manifest {
        Manifest {
            geometry: self.geometry,
            table: self.table,
            file_systems: self.file_systems,
            chunks,
            notes: self.notes,
            disks: self.disks,
        }
    }
}

/// Reads the entries of a manifest part by part, and checks everything about them.
#[derive(Debug)]
pub struct EntryReader<'a> {
    root: &'a ManifestRoot,
    /// Of the disks when there are several.
    places: Vec<ByteRange>,
    /// The index behind the last entry.
    expected: u64,
    /// Number of the next part.
    at: usize,
}

impl EntryReader<'_> {
    /// Gives the entries that the manifest has itself to `each`; none when it names parts.
    ///
    /// # Errors
    /// The first entry that is not valid, or what `each` fails with.
    pub fn inline<E: From<DecodeManifestError>>(
        &mut self,
        each: impl FnMut(ChunkEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let RootChunks::Inline { count, bytes } = &self.root.chunks else {
            return Ok(());
        };
        self.entries(*count, bytes, each)
    }

    /// The part that is to be read next; `None` at the end.
    #[must_use]
    pub fn next_part(&self) -> Option<PartRef> {
        self.root.parts().get(self.at).copied()
    }

    /// Checks the bytes of the [`next_part`](Self::next_part) and gives its entries to `each`.
    ///
    /// # Errors
    /// When these are not its bytes, for the first entry that is not valid, or what `each` fails
    /// with.
    pub fn part<E: From<DecodeManifestError>>(
        &mut self,
        bytes: &Bytes,
        mut each: impl FnMut(ChunkEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(part) = self.next_part() else {
            return Ok(());
        };
        if bytes.len() != part.bytes as usize || PartId::of(bytes) != part.id {
            return Err(DecodeManifestError::PartId(part.id).into());
        }
        let before = self.at.checked_sub(1).map(|at| self.root.parts()[at]);
        let (start, mut is_first) = (self.expected, true);
        self.entries(part.entries, bytes, |entry| {
            if std::mem::take(&mut is_first) && !begins(&part, before.as_ref(), start, &entry) {
                return Err(DecodeManifestError::PartEntries(part.id).into());
            }
            each(entry)
        })?;
        if self.expected != u64::from(part.end) {
            return Err(DecodeManifestError::PartEntries(part.id).into());
        }
        self.at += 1;
        Ok(())
    }

    fn entries<E: From<DecodeManifestError>>(
        &mut self,
        count: u32,
        bytes: &[u8],
        mut each: impl FnMut(ChunkEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = Cursor::new(bytes, "chunks");
        for _ in 0..count {
            let entry = take_entry(&mut cursor, self.expected)?;
            validate_chunk(self.root.geometry, &self.places, &entry)
                .map_err(DecodeManifestError::from)?;
            self.expected = u64::from(entry.index.get()) + 1;
            each(entry)?;
        }
        Ok(cursor.finish()?)
    }
}

/// Whether a part may begin with this entry: all of a part are in one window, and a part is only
/// followed by another in its window when the entry did not fit any more.
fn begins(part: &PartRef, before: Option<&PartRef>, start: u64, first: &ChunkEntry) -> bool {
    let index: ChunkIndex = first.index;
    if index.get() / crate::part::PART_CHUNKS != part.window() {
        return false;
    }
    let Some(before) = before.filter(|before| before.window() == part.window()) else {
        return true;
    };
    let mut encoded = Vec::new();
    crate::codec::entry::put_entry(&mut encoded, start, first);
    before.bytes as usize + encoded.len() > MAX_PART
}

/// Encodes a manifest whose entries come one by one, and hands its parts on as soon as they are
/// complete.
#[derive(Debug, Default)]
pub struct ManifestWriter {
    /// What was not handed on.
    list: ChunkList,
    handed_on: Vec<PartRef>,
    handed_on_bytes: u64,
}

impl ManifestWriter {
    /// Adds an entry.
    ///
    /// # Panics
    /// As [`ChunkList::push`].
    pub fn push(&mut self, entry: &ChunkEntry) {
        self.list.push(entry);
    }

    /// The parts that are complete; none as long as the manifest could have its entries itself.
    pub fn take_parts(&mut self) -> Vec<ManifestPart> {
        if self.handed_on_bytes + self.list.encoded_len() <= MAX_INLINE {
            return Vec::new();
        }
        let full: Vec<_> = self.list.take_full().collect();
        self.hand_on(full)
    }

    fn hand_on(&mut self, parts: Vec<(PartRef, ManifestPart)>) -> Vec<ManifestPart> {
        let named = parts.iter().map(|(named, _)| *named);
        self.handed_on.extend(named);
        self.handed_on_bytes += parts
            .iter()
            .map(|(named, _)| u64::from(named.bytes))
            .sum::<u64>();
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// The encoded manifest, and the rest of its parts. The entries of `manifest` are not looked
    /// at: they are those that were pushed.
    #[must_use]
    pub fn finish(mut self, manifest: &Manifest) -> (Vec<u8>, Vec<ManifestPart>) {
        if self.handed_on_bytes + self.list.encoded_len() <= MAX_INLINE {
            let chunks = RootChunks::inline(&self.list);
            return (encode_root(&manifest.head(), &chunks), Vec::new());
        }
        let rest: Vec<_> = self.list.take_all().collect();
        let rest = self.hand_on(rest);
        let chunks = RootChunks::Parts(self.handed_on);
        (encode_root(&manifest.head(), &chunks), rest)
    }
}
