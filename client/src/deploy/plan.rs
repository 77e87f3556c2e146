//! The result that a deploy has to reach, indexed for lookup. Pure.

use std::ops::Range;

use foghorn_image::{ByteRange, ByteRanges, ChunkContent, ChunkEntry, Manifest};
use foghorn_types::{ByteCount, ByteOffset, ChunkId, ChunkIndex, ChunkNumber};

use super::part::Placement;
use super::places::Places;

/// A manifest, with the places of its distinct chunks.
#[derive(Debug)]
pub struct Plan {
    /// Its entries are only those that are written, and their masks only what is written.
    manifest: Manifest,
    placement: Placement,
    /// Entries whose masks the placement has made smaller: the bytes of their chunks cannot be
    /// found on the target, only fetched.
    clipped: Vec<ChunkIndex>,
    /// Numbered over the whole image, whatever of it is written: agents number the same way.
    places: Places,
}

impl Plan {
    /// Indexes what the placement has of a manifest.
    #[must_use]
    pub fn new(mut manifest: Manifest, placement: Placement) -> Self {
        let places = Places::of(&manifest.chunks);
        let (places, clipped) = match placement.clip(&manifest) {
            None => (places, Vec::new()),
            Some((kept, clipped)) => {
                let places = places.within(&manifest.chunks, &kept);
                manifest.chunks = kept;
                (places, clipped)
            }
        };
        Self {
            manifest,
            placement,
            clipped,
            places,
        }
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// How many distinct chunks of the image have data.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.places.count()
    }

    /// The numbers of all of them, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = ChunkNumber> + use<> {
        (0..self.count()).map(ChunkNumber::new)
    }

    /// The chunk with this number; `None` when it goes nowhere.
    #[must_use]
    pub fn id(&self, number: ChunkNumber) -> Option<ChunkId> {
        match self.places(number).next()?.content {
            ChunkContent::Data(id) => Some(id),
            ChunkContent::Zero => None,
        }
    }

    /// Whether the chunk goes anywhere: not when only a part of the image is written, and the chunk
    /// is not in it.
    #[must_use]
    pub fn is_needed(&self, number: ChunkNumber) -> bool {
        self.places.first(number).is_some()
    }

    /// Where a chunk goes, in disk order. Not empty when the chunk is needed.
    pub fn places(&self, number: ChunkNumber) -> impl Iterator<Item = ChunkEntry> + '_ {
        self.places
            .all(number)
            .filter_map(|place| self.manifest.chunks.get(place as usize))
    }

    /// Length of a chunk in bytes: 1 MiB, less only at the end of the disk.
    #[must_use]
    pub fn length(&self, number: ChunkNumber) -> usize {
        self.places(number)
            .next()
            .map_or(0, |entry| self.entry_length(&entry))
    }

    #[must_use]
    pub fn entry_length(&self, entry: &ChunkEntry) -> usize {
        self.manifest.geometry.chunk_len(entry.index)
    }

    /// Used bytes of an entry.
    #[must_use]
    pub fn entry_used(&self, entry: &ChunkEntry) -> u64 {
        entry.used.used_bytes(self.entry_length(entry))
    }

    /// Used bytes at all places of a chunk.
    #[must_use]
    pub fn used(&self, number: ChunkNumber) -> u64 {
        self.places(number)
            .map(|entry| self.entry_used(&entry))
            .sum()
    }

    /// Entries that are in use and all zero.
    pub fn zero_entries(&self) -> impl Iterator<Item = ChunkEntry> + '_ {
        self.manifest
            .chunks
            .iter()
            .filter(|entry| entry.content == ChunkContent::Zero)
    }

    /// Bytes of the disk that must be right in the end.
    #[must_use]
    pub fn used_total(&self) -> ByteCount {
        ByteCount::from_bytes(
            self.manifest
                .chunks
                .iter()
                .map(|entry| self.entry_used(&entry))
                .sum(),
        )
    }

    /// Whether this entry is what firmware, kernels and `mount` look at first, and is therefore
    /// written last.
    ///
    /// Of a GPT disk that is the table, which is in no chunk; of every other disk the chunk with
    /// the boot sector; of a partition the chunk with its first sectors.
    #[must_use]
    pub fn is_boot_entry(&self, entry: &ChunkEntry) -> bool {
        self.placement.is_boot_chunk(&self.manifest, entry.index)
    }

    /// Whether the contents of the entry's place on the target can tell that its chunk is there.
    #[must_use]
    pub fn can_be_found(&self, entry: &ChunkEntry) -> bool {
        !self.is_boot_entry(entry) && self.clipped.binary_search(&entry.index).is_err()
    }

    /// Where a byte of an entry goes on the target. `within` is a byte that is used.
    #[must_use]
    pub fn offset(&self, entry: &ChunkEntry, within: usize) -> u64 {
        self.placement.offset(entry, within)
    }

    /// All bytes of the target that the deploy writes or may write: those of the entries, these
    /// that are wiped, and these pieces of tables.
    #[must_use]
    pub fn written(&self, wiped: &ByteRanges, pieces: &[(ByteOffset, Vec<u8>)]) -> ByteRanges {
        let pieces = pieces.iter().map(|(start, bytes)| {
            ByteRange::new(start.bytes(), start.bytes() + bytes.len() as u64)
        });
        let entries = self.manifest.chunks.iter().flat_map(|entry| {
            let ranges = entry.used.byte_ranges(self.entry_length(&entry));
            let written: Vec<ByteRange> = ranges
                .map(|range| {
                    let start = self.offset(&entry, range.start);
                    ByteRange::new(start, start + range.len() as u64)
                })
                .collect();
            written
        });
        pieces.chain(entries).chain(wiped.iter()).collect()
    }

    /// From the first used byte of an entry to the last.
    #[must_use]
    pub fn span(&self, entry: &ChunkEntry) -> Range<usize> {
        let mut used = entry.used.byte_ranges(self.entry_length(entry));
        let first = used.next().unwrap_or_default();
        let end = used.last().map_or(first.end, |last| last.end);
        first.start..end
    }
}

#[cfg(test)]
mod tests {
    use foghorn_image::{ChunkList, DiskGeometry, PartitionTable, SectorRange, UsedMask};
    use foghorn_types::SectorSize;

    use super::*;

    #[test]
    fn a_chunk_at_two_places_is_one_with_two_places() {
        let entry = |index, used, content| ChunkEntry {
            index: ChunkIndex::new(index),
            used,
            content,
        };
        let (a, b) = (ChunkId::of(b"a"), ChunkId::of(b"b"));
        let half = UsedMask::Ranges(vec![SectorRange {
            start: 8,
            end: 1024,
        }]);
        let manifest = Manifest {
            geometry: DiskGeometry {
                size: ByteCount::from_bytes((4 << 20) + 4096),
                sector_size: SectorSize::B512,
            },
            table: PartitionTable::Mbr,
            file_systems: vec![],
            chunks: ChunkList::from(vec![
                entry(0, half, ChunkContent::Data(b)),
                entry(1, UsedMask::Whole, ChunkContent::Data(a)),
                entry(2, UsedMask::Whole, ChunkContent::Zero),
                entry(3, UsedMask::Whole, ChunkContent::Data(b)),
                entry(4, UsedMask::Whole, ChunkContent::Zero),
            ]),
            notes: Vec::new(),
            disks: Vec::new(),
        };
        let plan = Plan::new(manifest, Placement::Everything);
        let [first, second] = [0, 1].map(ChunkNumber::new);
        assert_eq!(
            (plan.count(), plan.id(first), plan.id(second)),
            (2, Some(b), Some(a))
        );
        let as_agents_number = plan.manifest().distinct_chunks();
        assert!(
            plan.numbers()
                .all(|number| as_agents_number.id(number) == plan.id(number))
        );
        assert_eq!(
            plan.places(first)
                .map(|e| e.index.get())
                .collect::<Vec<_>>(),
            [0, 3]
        );
        assert_eq!(plan.used(first), (1 << 20) + 1016 * 512);
        assert_eq!(plan.used_total().bytes(), 1016 * 512 + (3 << 20) + 4096);
        assert!(
            plan.places(first)
                .next()
                .is_some_and(|e| plan.is_boot_entry(&e))
        );
        assert_eq!(plan.zero_entries().count(), 2);
    }
}
