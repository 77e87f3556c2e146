//! Gaps of which only what is not zero matters. Pure.

use foghorn_image::{ByteRange, ByteRanges, ChunkContent, ChunkEntry, DiskGeometry};

/// Removes the entries of chunks that turned out to be zero and lie in `sparse`: a deploy then leaves
/// those bytes alone, instead of reading a gap of terabytes to make sure that it is empty.
pub(super) fn drop_zeroes(
    geometry: DiskGeometry,
    sparse: &ByteRanges,
    chunks: &mut Vec<ChunkEntry>,
) {
    if sparse.is_empty() {
        return;
    }
    let ranges: Vec<ByteRange> = sparse.iter().copied().collect();
    chunks.retain(|entry| {
        let start = DiskGeometry::chunk_offset(entry.index).bytes();
        let end = start + geometry.chunk_len(entry.index) as u64;
        let after = ranges.partition_point(|range| range.start <= start);
        let inside = after > 0 && ranges[after - 1].end >= end;
        entry.content != ChunkContent::Zero || !inside
    });
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
        let mut chunks: Vec<ChunkEntry> = (0..10)
            .map(|index| ChunkEntry {
                index: ChunkIndex::new(index),
                used: UsedMask::Whole,
                content: if index == 3 {
                    ChunkContent::Data(ChunkId::of(b"data"))
                } else {
                    ChunkContent::Zero
                },
            })
            .collect();
        drop_zeroes(geometry, &sparse, &mut chunks);
        let kept: Vec<u32> = chunks.iter().map(|entry| entry.index.get()).collect();
        assert_eq!(kept, [0, 1, 2, 3, 5, 6, 7, 8]);
    }
}
