//! The parts into which the entries of a large manifest are cut.

use foghorn_types::{ByteCount, PartId};

use crate::codec::entry::MAX_ENTRY;
use crate::geometry::CHUNK_SIZE;

/// Most bytes of entries that a manifest has itself. With more, it names parts instead.
pub const MAX_INLINE: u64 = 16 << 20;

/// Most bytes of one part.
pub const MAX_PART: usize = 1 << 20;

/// Chunks of the disk that one part is about at most, from a multiple of this number on. So what
/// changes at one place of a disk changes the parts about that place, and the others keep their
/// ids.
pub const PART_CHUNKS: u32 = 1 << 14;

/// Most parts of one manifest: one for each [`PART_CHUNKS`] of the largest disk.
pub const MAX_PARTS: usize = (u32::MAX / PART_CHUNKS) as usize + 1;

/// A part as the manifest names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartRef {
    /// BLAKE3 of its bytes.
    pub id: PartId,
    /// The index behind the last entry of the part before it; 0 for the first.
    pub base: u32,
    /// The index behind its last entry.
    pub end: u32,
    /// How many entries it has; never 0.
    pub entries: u32,
    /// How many bytes it has.
    pub bytes: u32,
}

impl PartRef {
    /// Whether the numbers are possible.
    pub(crate) fn is_possible(&self) -> bool {
        let entries = u64::from(self.entries);
        self.entries > 0
            && self.base < self.end
            && self.entries <= (self.end - self.base).min(PART_CHUNKS)
            && self.bytes as usize <= MAX_PART
            && (entries..=entries * MAX_ENTRY).contains(&self.bytes.into())
    }

    /// The window of [`PART_CHUNKS`] chunks in which all its entries are.
    pub(crate) const fn window(&self) -> u32 {
        (self.end - 1) / PART_CHUNKS
    }
}

/// One part with its bytes, as it is sent and stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestPart {
    /// BLAKE3 of the bytes.
    pub id: PartId,
    /// Its entries, encoded.
    pub bytes: bytes::Bytes,
}

impl ManifestPart {
    /// Names the bytes.
    #[must_use]
    pub fn new(bytes: bytes::Bytes) -> Self {
        Self {
            id: PartId::of(&bytes),
            bytes,
        }
    }
}

/// Most bytes that all parts of a manifest of a disk of this size can have: the size of its entries
/// if every second sector were in use.
#[must_use]
pub fn most_part_bytes(disk: ByteCount) -> ByteCount {
    let chunks = disk.bytes().div_ceil(CHUNK_SIZE).min(u32::MAX.into());
    let all_parts = MAX_PARTS as u64 * MAX_PART as u64;
    ByteCount::from_bytes((chunks * MAX_ENTRY).min(all_parts))
}
