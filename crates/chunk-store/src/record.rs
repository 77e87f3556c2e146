//! One chunk in a pack: a header of 64 bytes that describes it completely, and its compressed
//! bytes.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | `FHCK` |
//! | 4..6 | version, 1 (little endian, as all numbers) |
//! | 6..8 | zero |
//! | 8..40 | chunk id |
//! | 40..44 | plain length |
//! | 44..48 | stored length |
//! | 48..64 | first half of the BLAKE3 of bytes 0..48 and the stored bytes |

use foghorn_image::CHUNK_SIZE;
use foghorn_types::ChunkId;

pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const MAGIC: &[u8; 4] = b"FHCK";
const VERSION: u16 = 1;
const DESCRIBED: usize = 48;

/// Most plain bytes of a chunk.
pub(crate) const MAX_PLAIN: u32 = CHUNK_SIZE as u32;
/// Most stored bytes of a chunk: zstd makes incompressible data larger by at most 1/256 and a
/// header.
pub(crate) const MAX_STORED: u32 = MAX_PLAIN + MAX_PLAIN / 128;

/// A header that makes sense by itself; only [`matches`](Self::matches) says whether its bytes are
/// right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHeader {
    pub id: ChunkId,
    pub plain_len: u32,
    pub stored_len: u32,
    bytes: [u8; HEADER_LEN],
}

impl RecordHeader {
    pub(crate) fn new(id: ChunkId, plain_len: u32, stored: &[u8]) -> Self {
        let stored_len =
            u32::try_from(stored.len()).expect("chunks are checked before they are stored");
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..40].copy_from_slice(id.as_bytes());
        bytes[40..44].copy_from_slice(&plain_len.to_le_bytes());
        bytes[44..48].copy_from_slice(&stored_len.to_le_bytes());
        let checksum = checksum(&bytes, stored);
        bytes[DESCRIBED..].copy_from_slice(&checksum);
        Self {
            id,
            plain_len,
            stored_len,
            bytes,
        }
    }

    pub(crate) fn decode(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..4] != *MAGIC || bytes[4..6] != VERSION.to_le_bytes() || bytes[6..8] != [0; 2] {
            return None;
        }
        let (plain_len, stored_len) = (word(40), word(44));
        if plain_len > MAX_PLAIN || stored_len > MAX_STORED {
            return None;
        }
        let id = ChunkId::from_digest(
            *bytes[8..]
                .first_chunk()
                .expect("the header is longer than that"),
        );
        Some(Self {
            id,
            plain_len,
            stored_len,
            bytes,
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.bytes
    }

    /// Whether header and stored bytes are what was once written.
    pub(crate) fn matches(&self, stored: &[u8]) -> bool {
        stored.len() == self.stored_len as usize
            && checksum(&self.bytes, stored) == self.bytes[DESCRIBED..]
    }

    /// Bytes that the record takes in a pack.
    pub(crate) fn record_len(&self) -> u64 {
        record_len(self.stored_len)
    }
}

/// Bytes that a record with this many stored bytes takes in a pack.
pub(crate) fn record_len(stored_len: u32) -> u64 {
    HEADER_LEN as u64 + u64::from(stored_len)
}

fn checksum(header: &[u8; HEADER_LEN], stored: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[..DESCRIBED]).update(stored);
    *hasher
        .finalize()
        .as_bytes()
        .first_chunk()
        .expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_found() {
        let stored = b"some compressed bytes".to_vec();
        let header = RecordHeader::new(ChunkId::of(b"plain"), 5, &stored);
        assert!(
            RecordHeader::decode(*header.as_bytes())
                .unwrap()
                .matches(&stored)
        );
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = *header.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !RecordHeader::decode(bytes).is_some_and(|found| found.matches(&stored)),
                "header bit {bit}"
            );
        }
        for bit in 0..stored.len() * 8 {
            let mut changed = stored.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!header.matches(&changed), "stored bit {bit}");
        }
    }
}
