//! The size of a disk, and how chunks lie on it.

use foghorn_types::{ByteCount, ByteOffset, ChunkIndex, SectorSize};

/// Bytes of disk that one chunk covers. Chunks are aligned to it, so equal data at equal alignment
/// has equal chunks.
pub const CHUNK_SIZE: u64 = 1 << 20;

/// Size and sector size of the captured disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskGeometry {
    /// Of the whole disk.
    pub size: ByteCount,
    /// Of its logical sectors, in which partition tables count.
    pub sector_size: SectorSize,
}

impl DiskGeometry {
    /// The largest disk of which there can be a manifest: its chunks are counted in 32 bits.
    pub const LARGEST: ByteCount = ByteCount::from_bytes(u32::MAX as u64 * CHUNK_SIZE);

    /// Whether there can be a manifest of a disk of this size.
    #[must_use]
    pub const fn can_have_a_manifest(&self) -> bool {
        self.size.bytes() > 0 && self.size.bytes() <= Self::LARGEST.bytes()
    }

    /// Where the chunk starts on the disk.
    #[must_use]
    pub const fn chunk_offset(index: ChunkIndex) -> ByteOffset {
        ByteOffset::from_bytes(index.get() as u64 * CHUNK_SIZE)
    }

    /// Bytes of the disk that the chunk covers: 1 MiB, less at the end of the disk, 0 beyond it.
    #[must_use]
    pub const fn chunk_len(&self, index: ChunkIndex) -> usize {
        let rest = self
            .size
            .bytes()
            .saturating_sub(Self::chunk_offset(index).bytes());
        (if rest < CHUNK_SIZE { rest } else { CHUNK_SIZE }) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_chunk_is_short() {
        let disk = DiskGeometry {
            size: ByteCount::from_bytes(2 * CHUNK_SIZE + 512),
            sector_size: SectorSize::B512,
        };
        let lengths: Vec<usize> = (0..4).map(|i| disk.chunk_len(ChunkIndex::new(i))).collect();
        assert_eq!(lengths, [1 << 20, 1 << 20, 512, 0]);
    }
}
