//! Gaps of which only what is not zero matters. Pure.

use foghorn_image::{ByteRange, ByteRanges, ChunkContent, ChunkEntry, DiskGeometry};

/// Whether a chunk has a place in the manifest: not when it turned out to be zero and lies in
/// `sparse`. A deploy then leaves those bytes alone, instead of reading a gap of terabytes to make
/// sure that it is empty.
pub(super) fn is_worth_an_entry(
    geometry: DiskGeometry,
    sparse: &ByteRanges,
    entry: &ChunkEntry,
) -> bool {
    let start = DiskGeometry::chunk_offset(entry.index).bytes();
    let end = start + geometry.chunk_len(entry.index) as u64;
    entry.content != ChunkContent::Zero || !sparse.covers(ByteRange::new(start, end))
}

#[cfg(test)]
mod tests {
    use foghorn_image::{CHUNK_SIZE, UsedMask};
    use foghorn_types::{ByteCount, ChunkId, ChunkIndex, SectorSize};

    use super::*;

    #[test]
    fn only_zero_chunks_inside_are_removed() {
        let geometry = DiskGeometry {
            size: ByteCount::from_bytes(9 * CHUNK_SIZE + 512),
            sector_size: SectorSize::B512,
        };
        let sparse = [
            ByteRange::new(2 * CHUNK_SIZE + 1, 5 * CHUNK_SIZE),
            ByteRange::new(9 * CHUNK_SIZE, 9 * CHUNK_SIZE + 512),
        ]
        .into_iter()
        .collect();
        let chunks = (0..10).map(|index| ChunkEntry {
            index: ChunkIndex::new(index),
            used: UsedMask::Whole,
            content: if index == 3 {
                ChunkContent::Data(ChunkId::of(b"data"))
            } else {
                ChunkContent::Zero
            },
        });
        let kept: Vec<u32> = chunks
            .filter(|entry| is_worth_an_entry(geometry, &sparse, entry))
            .map(|entry| entry.index.get())
            .collect();
        assert_eq!(kept, [0, 1, 2, 3, 5, 6, 7, 8]);
    }
}
