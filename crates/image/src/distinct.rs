//! The numbering of an image's chunks. The agent that sends a multicast session and every client
//! that hears it derive it from the manifest, here and nowhere else, so both mean the same chunk by
//! a number.

use foghorn_types::{ChunkId, ChunkNumber};

use crate::manifest::{ChunkContent, ChunkEntry, Manifest};

/// The distinct data chunks of an image, numbered from 0 in the order in which a disk first needs
/// them.
///
/// Takes 36 bytes per chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DistinctChunks {
    /// Chunk `n` is `ids[n]`.
    ids: Vec<ChunkId>,
    /// All numbers, ascending by the id that they stand for.
    by_id: Vec<ChunkNumber>,
}

impl Manifest {
    /// Numbers the distinct data chunks. Sorts all entries, so the price is that of a sort.
    #[must_use]
    pub fn distinct_chunks(&self) -> DistinctChunks {
        let mut numbering = Numbering::default();
        self.chunks.iter().for_each(|entry| numbering.add(&entry));
        numbering.finish()
    }
}

/// Numbers the distinct data chunks of entries that come one by one, in the order of the disk.
#[derive(Debug, Default)]
pub struct Numbering(Vec<ChunkId>);

impl Numbering {
    /// Adds the next entry.
    pub fn add(&mut self, entry: &ChunkEntry) {
        if let ChunkContent::Data(id) = entry.content {
            self.0.push(id);
        }
    }

    /// The numbers of all that were added.
    #[must_use]
    pub fn finish(self) -> DistinctChunks {
        DistinctChunks::in_order(self.0)
    }
}

impl DistinctChunks {
    /// Numbers ids by where each comes first.
    fn in_order(mut ids: Vec<ChunkId>) -> Self {
        ids.shrink_to_fit();
        let mut by_id: Vec<ChunkNumber> = (0..).map(ChunkNumber::new).take(ids.len()).collect();
        let id_of = |ids: &[ChunkId], number: ChunkNumber| ids[number.index()];
        // Of equal ids the first place comes first, and stays.
        by_id.sort_unstable_by_key(|&number| (id_of(&ids, number), number));
        by_id.dedup_by_key(|number| id_of(&ids, *number));
        if by_id.len() == ids.len() {
            return Self { ids, by_id };
        }
        // The places that stay, in their order, are the numbers.
        let mut places = by_id.clone();
        places.sort_unstable();
        for (number, place) in places.iter().enumerate() {
            ids[number] = ids[place.index()];
        }
        ids.truncate(places.len());
        ids.shrink_to_fit();
        for place in &mut by_id {
            let number = places.partition_point(|other| other < place);
            *place = ChunkNumber::new(number as u32);
        }
        Self { ids, by_id }
    }

    /// How many there are. A manifest has at most as many entries as fit in 32 bits.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ids.len() as u32
    }

    /// Whether the image has no data at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The chunk with this number; `None` from [`count`](Self::count) on.
    #[must_use]
    pub fn id(&self, number: ChunkNumber) -> Option<ChunkId> {
        self.ids.get(number.index()).copied()
    }

    /// The number of a chunk; `None` when the image does not have it.
    #[must_use]
    pub fn number(&self, id: &ChunkId) -> Option<ChunkNumber> {
        self.by_id
            .binary_search_by_key(id, |number| self.ids[number.index()])
            .ok()
            .map(|at| self.by_id[at])
    }

    /// The ids in the order of their numbers.
    #[must_use]
    pub fn ids(&self) -> &[ChunkId] {
        &self.ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_numbered_by_where_they_come_first() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| ChunkId::of(bytes));
        for order in [[a, b, c], [c, b, a], [b, c, a]] {
            let chunks =
                DistinctChunks::in_order(vec![order[0], order[1], order[0], order[2], order[1]]);
            assert_eq!(chunks.ids(), order);
            for (number, id) in (0..).map(ChunkNumber::new).zip(order) {
                assert_eq!(
                    (chunks.id(number), chunks.number(&id)),
                    (Some(id), Some(number))
                );
            }
            assert_eq!((chunks.count(), chunks.id(ChunkNumber::new(3))), (3, None));
            assert_eq!(chunks.number(&ChunkId::of(b"another")), None);
        }
    }

    #[test]
    fn an_image_without_data_has_none() {
        let none = DistinctChunks::in_order(Vec::new());
        assert!(none.is_empty() && none.id(ChunkNumber::new(0)).is_none());
    }
}
