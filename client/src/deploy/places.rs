//! Which entries of a manifest have the same chunk. Pure.
//!
//! Chunks are numbered by where an image needs each first, as agents number them
//! ([`DistinctChunks`](foghorn_image::DistinctChunks)). Ids are not kept here: the entries have them.
//! So a chunk takes 4 bytes, and 8 more for every further place.

use std::collections::HashMap;

use foghorn_image::{ChunkContent, ChunkEntry, ChunkList};
use foghorn_types::{ChunkId, ChunkNumber};

/// Place of a chunk that is not written.
const NOWHERE: u32 = u32::MAX;

/// The entries of each chunk; a place is the number of an entry in its list.
#[derive(Debug)]
pub(super) struct Places {
    /// The first place of chunk `n`.
    first: Vec<u32>,
    /// Number of a chunk and a place that is not its first, ascending.
    further: Vec<(u32, u32)>,
}

impl Places {
    /// Of all entries.
    pub(super) fn of(chunks: &ChunkList) -> Self {
        let repeated = repeated(chunks);
        let mut skipped = repeated.iter().map(|&(place, _)| place).peekable();
        let mut first = Vec::with_capacity(count_data(chunks) - repeated.len());
        for (place, entry) in (0_u32..).zip(chunks) {
            if id_of(&entry).is_some() && skipped.next_if_eq(&place).is_none() {
                first.push(place);
            }
        }
        let number = |place: u32| first.partition_point(|&other| other < place) as u32;
        let mut further: Vec<(u32, u32)> = repeated
            .into_iter()
            .map(|(place, original)| (number(original), place))
            .collect();
        further.sort_unstable();
        Self { first, further }
    }

    /// The same numbers for what was kept of the entries: `kept` has some entries of `all`.
    pub(super) fn within(self, all: &ChunkList, kept: &ChunkList) -> Self {
        let mut moved = vec![NOWHERE; all.len()];
        let mut kept = (0_u32..).zip(kept).peekable();
        for (place, entry) in (0_usize..).zip(all) {
            if let Some((new, _)) = kept.next_if(|(_, kept)| kept.index == entry.index) {
                moved[place] = new;
            }
        }
        let moved = |place: u32| moved[place as usize];
        let mut first: Vec<u32> = self.first.iter().map(|&place| moved(place)).collect();
        let mut further = Vec::new();
        for (number, place) in self.further {
            let place = moved(place);
            let of_chunk = &mut first[number as usize];
            match (place, *of_chunk) {
                (NOWHERE, _) => {}
                (place, NOWHERE) => *of_chunk = place,
                (place, _) => further.push((number, place)),
            }
        }
        Self { first, further }
    }

    /// How many chunks there are.
    pub(super) fn count(&self) -> u32 {
        self.first.len() as u32
    }

    /// The first place of a chunk, if it has one.
    pub(super) fn first(&self, number: ChunkNumber) -> Option<u32> {
        let first = self.first.get(number.index()).copied();
        first.filter(|&place| place != NOWHERE)
    }

    /// All places of a chunk, ascending.
    pub(super) fn all(&self, number: ChunkNumber) -> impl Iterator<Item = u32> + '_ {
        let from = self
            .further
            .partition_point(|&(other, _)| other < number.get());
        let further = self.further[from..]
            .iter()
            .take_while(move |&&(other, _)| other == number.get());
        self.first(number)
            .into_iter()
            .chain(further.map(|&(_, place)| place))
    }
}

fn id_of(entry: &ChunkEntry) -> Option<ChunkId> {
    match entry.content {
        ChunkContent::Data(id) => Some(id),
        ChunkContent::Zero => None,
    }
}

fn count_data(chunks: &ChunkList) -> usize {
    chunks.iter().filter(|entry| id_of(entry).is_some()).count()
}

/// Places whose chunk is at an earlier place too, with the first such place; ascending.
fn repeated(chunks: &ChunkList) -> Vec<(u32, u32)> {
    // The start of an id and the place, in one number: equal chunks become neighbours, and few others
    // do.
    let mut keys: Vec<u64> = Vec::with_capacity(count_data(chunks));
    keys.extend((0_u32..).zip(chunks).filter_map(|(place, entry)| {
        let [a, b, c, d, ..] = *id_of(&entry)?.as_bytes();
        let start = u32::from_be_bytes([a, b, c, d]);
        Some(u64::from(start) << 32 | u64::from(place))
    }));
    keys.sort_unstable();
    let mut repeated = Vec::new();
    for group in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
        if let [_] = group {
            continue;
        }
        let mut seen: HashMap<ChunkId, u32> = HashMap::new();
        for &key in group {
            let place = key as u32;
            let Some(id) = chunks.get(place as usize).as_ref().and_then(id_of) else {
                continue;
            };
            match seen.entry(id) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    repeated.push((place, *first.get()));
                }
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(place);
                }
            }
        }
    }
    repeated.sort_unstable();
    repeated
}

#[cfg(test)]
mod tests {
    use foghorn_image::{DiskGeometry, Manifest, PartitionTable, UsedMask};
    use foghorn_types::{ByteCount, ChunkIndex, SectorSize};
    use proptest::prelude::*;

    use super::*;

    fn list(contents: &[Option<u16>]) -> ChunkList {
        let entry = |(index, content): (u32, &Option<u16>)| ChunkEntry {
            index: ChunkIndex::new(index * 2),
            used: UsedMask::Whole,
            content: content.map_or(ChunkContent::Zero, |n| {
                // Ids that are equal for 4 bytes and more, as few are.
                let mut id = *ChunkId::of(&n.to_le_bytes()).as_bytes();
                if n < 8 {
                    id[..6].fill(0);
                }
                ChunkContent::Data(ChunkId::from_digest(id))
            }),
        };
        (0..).zip(contents).map(entry).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn numbers_are_those_of_agents_and_places_those_of_the_entries(
            contents in prop::collection::vec(prop::option::of(0_u16..30), 0..60),
            kept in prop::collection::vec(any::<bool>(), 60),
        ) {
            let chunks = list(&contents);
            let manifest = Manifest {
                geometry: DiskGeometry {
                    size: ByteCount::from_mib(200),
                    sector_size: SectorSize::B512,
                },
                table: PartitionTable::Mbr,
                file_systems: vec![],
                chunks: chunks.clone(),
                notes: vec![],
                disks: vec![],
            };
            let numbered = manifest.distinct_chunks();
            let some: ChunkList = chunks
                .iter()
                .zip(&kept)
                .filter(|(_, kept)| **kept)
                .map(|(entry, _)| entry)
                .collect();
            for (places, of) in [
                (Places::of(&chunks), &chunks),
                (Places::of(&chunks).within(&chunks, &some), &some),
            ] {
                prop_assert_eq!(places.count(), numbered.count());
                for number in (0..places.count()).map(ChunkNumber::new) {
                    let id = numbered.id(number);
                    let expected: Vec<u32> = (0..)
                        .zip(of)
                        .filter(|(_, entry)| id_of(entry) == id)
                        .map(|(place, _)| place)
                        .collect();
                    let found: Vec<u32> = places.all(number).collect();
                    prop_assert_eq!(&found, &expected);
                    prop_assert_eq!(places.first(number), expected.first().copied());
                }
            }
        }
    }
}
