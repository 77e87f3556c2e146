//! Is this compressed chunk what its id says?

use foghorn_types::ChunkId;

use crate::problem::ChunkProblem;
use crate::record::{MAX_PLAIN, MAX_STORED};

/// Decompresses and hashes chunks, reusing its memory (about 1 MiB and zstd's own).
pub(crate) struct Verifier {
    decompressor: zstd::bulk::Decompressor<'static>,
    plain: Vec<u8>,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        Self {
            decompressor: zstd::bulk::Decompressor::default(),
            plain: Vec::with_capacity(MAX_PLAIN as usize),
        }
    }

    /// Never gives more than the memory of one chunk to what the bytes claim to become.
    pub(crate) fn verify(
        &mut self,
        id: ChunkId,
        plain_len: u32,
        stored: &[u8],
    ) -> Result<(), ChunkProblem> {
        if plain_len > MAX_PLAIN || stored.len() > MAX_STORED as usize {
            return Err(ChunkProblem::TooLong);
        }
        self.plain.clear();
        // zstd writes at most the vector's capacity.
        match self
            .decompressor
            .decompress_to_buffer(stored, &mut self.plain)
        {
            Ok(len) if len == plain_len as usize => {}
            _ => return Err(ChunkProblem::Compression),
        }
        if ChunkId::of(&self.plain) == id {
            Ok(())
        } else {
            Err(ChunkProblem::Hash)
        }
    }
}
