//! What can be wrong with a chunk.

/// What is wrong with one chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ChunkProblem {
    #[error("it is longer than a chunk may be")]
    TooLong,
    #[error("it does not decompress to the length it should have")]
    Compression,
    #[error("its contents do not have the hash that names it")]
    Hash,
    #[error("its record in the pack is damaged")]
    Header,
    #[error("its bytes in the pack are not those that were written")]
    Checksum,
    #[error("its pack is gone or too short")]
    Gone,
    #[error("the disk cannot read it")]
    Unreadable,
    #[error("an earlier check found it damaged")]
    Known,
    #[error("it is not in the store")]
    Missing,
}
