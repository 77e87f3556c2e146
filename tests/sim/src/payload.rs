//! The image that is sent: chunks whose length and bytes follow from their number.

use bytes::Bytes;
use fastrand::Rng;

/// All chunks of an image, as the agent's store has them.
#[derive(Clone, Debug)]
pub struct Payload {
    chunks: Vec<Bytes>,
}

impl Payload {
    /// `count` chunks of about `length` bytes; compressed chunks are rarely of one length, so each
    /// is between a quarter of it and all of it.
    #[must_use]
    pub fn new(seed: u64, count: u32, length: usize) -> Self {
        let chunk = |number| {
            let mut rng = Rng::with_seed(seed ^ (u64::from(number) << 32) ^ 0x9e37_79b9_7f4a_7c15);
            let mut bytes = vec![0; rng.usize(length.div_ceil(4)..=length.max(1))];
            rng.fill(&mut bytes);
            Bytes::from(bytes)
        };
        Self {
            chunks: (0..count).map(chunk).collect(),
        }
    }

    /// `count` chunks of exactly `length` bytes.
    #[must_use]
    pub fn even(seed: u64, count: u32, length: usize) -> Self {
        let chunk = |number| {
            let mut bytes = vec![0; length];
            Rng::with_seed(seed ^ (u64::from(number) << 32)).fill(&mut bytes);
            Bytes::from(bytes)
        };
        Self {
            chunks: (0..count).map(chunk).collect(),
        }
    }

    /// How many chunks there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// The bytes of a chunk.
    #[must_use]
    pub fn chunk(&self, number: u32) -> &Bytes {
        &self.chunks[number as usize]
    }

    /// Whether these are the bytes of the chunk: what the hash in a manifest tells a client.
    #[must_use]
    pub fn is_right(&self, number: u32, bytes: &[u8]) -> bool {
        self.chunks
            .get(number as usize)
            .is_some_and(|right| right == bytes)
    }

    /// Bytes of all chunks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}
