//! Images of several disks: one address space in which the disks lie one after the other.
//!
//! Chunks, file systems and notes of such an image are at bytes of the common space. What belongs to
//! one disk, or depends on where a disk ends, is asked of the manifest of that disk
//! ([`Manifest::of_disk`]).

use std::borrow::Cow;

use foghorn_types::{ByteCount, ByteOffset, ChunkIndex, SectorSize};

use crate::geometry::{CHUNK_SIZE, DiskGeometry};
use crate::manifest::{ChunkEntry, FileSystem, Manifest};
use crate::note::Note;
use crate::ranges::ByteRange;
use crate::table::PartitionTable;

/// Most disks of one image.
pub const MAX_DISKS: usize = 16;

/// Most bytes of a disk's name.
pub const MAX_DISK_NAME: usize = 256;

/// One of the disks of an image of several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageDisk {
    /// Of the captured disk.
    pub size: ByteCount,
    /// Of its logical sectors.
    pub sector_size: SectorSize,
    /// Its partition table; sectors count from the start of this disk.
    pub table: PartitionTable,
    /// Which disk it was, for people: path, model, serial number. Not empty, at most
    /// [`MAX_DISK_NAME`] bytes, no control characters.
    pub name: Box<str>,
}

impl ImageDisk {
    /// A name that keeps the rules: control characters become spaces, and what is too long is cut.
    #[must_use]
    pub fn fit_name(text: &str) -> Box<str> {
        let mut clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        while clean.len() > MAX_DISK_NAME {
            clean.pop();
        }
        match clean.trim() {
            "" => "unnamed".into(),
            name => name.into(),
        }
    }

    pub(crate) fn has_sane_name(&self) -> bool {
        (1..=MAX_DISK_NAME).contains(&self.name.len()) && !self.name.chars().any(char::is_control)
    }
}

/// Where disks of these sizes lie in their common space: the first at 0, each other at a multiple of
/// the chunk size with at least one free chunk in front of it, so that no range of one disk touches
/// one of another.
#[must_use]
pub fn disk_places(sizes: impl IntoIterator<Item = ByteCount>) -> Vec<ByteRange> {
    let mut start = 0_u64;
    let place = |size: ByteCount| {
        let place = ByteRange::new(start, start.saturating_add(size.bytes()));
        start = (place.end.div_ceil(CHUNK_SIZE) + 1).saturating_mul(CHUNK_SIZE);
        place
    };
    sizes.into_iter().map(place).collect()
}

impl Manifest {
    /// How many disks it describes, at least 1.
    #[must_use]
    pub fn disk_count(&self) -> usize {
        self.disks.len().max(1)
    }

    /// Where its disks lie, in their order; of one disk, all of it.
    #[must_use]
    pub fn disk_places(&self) -> Vec<ByteRange> {
        if self.disks.is_empty() {
            return vec![ByteRange::new(0, self.geometry.size.bytes())];
        }
        disk_places(self.disks.iter().map(|disk| disk.size))
    }

    /// The manifest of one of its disks, counted from 0, as if it had been captured alone; the ids
    /// of its last chunk may differ from those of such a capture.
    #[must_use]
    pub fn of_disk(&self, nth: usize) -> Cow<'_, Self> {
        let (Some(disk), Some(place)) = (self.disks.get(nth), self.disk_places().get(nth).copied())
        else {
            return Cow::Borrowed(self);
        };
        let start = place.start;
        let first = (start / CHUNK_SIZE) as u32;
        let inside = |at: u64| (place.start..place.end).contains(&at);
        let offset = |chunk: &ChunkEntry| DiskGeometry::chunk_offset(chunk.index).bytes();
        let chunks = self.chunks.iter_from(ChunkIndex::new(first));
        Cow::Owned(Self {
            geometry: DiskGeometry {
                size: disk.size,
                sector_size: disk.sector_size,
            },
            table: disk.table.clone(),
            file_systems: self
                .file_systems
                .iter()
                .filter(|fs| inside(fs.start.bytes()))
                .map(|fs| FileSystem {
                    start: ByteOffset::from_bytes(fs.start.bytes() - start),
                    ..fs.clone()
                })
                .collect(),
            chunks: chunks
                .take_while(|chunk| offset(chunk) < place.end)
                .map(|chunk| ChunkEntry {
                    index: ChunkIndex::new(chunk.index.get() - first),
                    ..chunk
                })
                .collect(),
            notes: self
                .notes
                .iter()
                .filter(|note| inside(note.range.start))
                .map(|note| Note {
                    range: ByteRange::new(note.range.start - start, note.range.end - start),
                    ..note.clone()
                })
                .collect(),
            disks: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_start_at_chunks_and_do_not_touch() {
        let sizes = [CHUNK_SIZE, 3 * CHUNK_SIZE + 512, 4096].map(ByteCount::from_bytes);
        let places: Vec<(u64, u64)> = disk_places(sizes)
            .iter()
            .map(|place| (place.start, place.end))
            .collect();
        assert_eq!(
            places,
            [
                (0, CHUNK_SIZE),
                (2 * CHUNK_SIZE, 5 * CHUNK_SIZE + 512),
                (7 * CHUNK_SIZE, 7 * CHUNK_SIZE + 4096),
            ]
        );
        // Sizes that a hostile manifest may name.
        assert_eq!(disk_places([ByteCount::from_bytes(u64::MAX); 3]).len(), 3);
    }

    #[test]
    fn names_fit() {
        for text in ["", "\n", &"ä".repeat(300), "Samsung\tSSD"] {
            let disk = ImageDisk {
                size: ByteCount::from_mib(1),
                sector_size: SectorSize::B512,
                table: PartitionTable::None,
                name: ImageDisk::fit_name(text),
            };
            assert!(disk.has_sane_name(), "{:?}", disk.name);
        }
    }
}
