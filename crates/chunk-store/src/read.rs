//! Giving chunks out, and saying which there are.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use foghorn_types::{ByteCount, ChunkId, chain};
use tracing::error;

use crate::index::{Entry, Flush, IndexError};
use crate::pack::{PackNumber, RecordFault, ScanDepth, read_record};
use crate::problem::ChunkProblem;
use crate::store::Store;

/// A chunk as it is stored. Its checksum was right; whoever writes it to a disk verifies it against
/// its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChunk {
    /// Bytes after decompression, at most 1 MiB.
    pub plain_len: u32,
    /// One zstd frame.
    pub compressed: Bytes,
}

/// A chunk could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadChunkError {
    #[error("chunk {0} is not in the store")]
    NotFound(ChunkId),
    #[error("chunk {id} is damaged in pack {pack}: {problem}")]
    Damaged {
        id: ChunkId,
        pack: u32,
        problem: ChunkProblem,
    },
    #[error("could not read chunk {id} from {path}", path = path.display())]
    Io {
        id: ChunkId,
        path: PathBuf,
        source: io::Error,
    },
    #[error("could not look up a chunk")]
    Index(#[from] IndexError),
}

/// Lookups before a record that is not where the index says counts as damaged: a sweep may move it
/// meanwhile.
const LOOKUPS: usize = 3;

impl Store {
    /// Which of these chunks are here and not known to be damaged, in the order asked.
    ///
    /// A sweep may remove them right afterwards; a capture asks its
    /// [`CaptureGuard`](crate::CaptureGuard).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn contains(&self, ids: &[ChunkId]) -> Result<Vec<bool>, IndexError> {
        self.index.read(|index| {
            ids.iter()
                .map(|id| Ok(self.is_whole(id, index.get(id)?)))
                .collect()
        })
    }

    /// Reads one chunk and checks that its bytes are those that were written (one BLAKE3 of the
    /// compressed bytes). A chunk found damaged is marked, so that [`contains`](Self::contains)
    /// denies it and a new put heals it.
    ///
    /// # Errors
    /// See [`ReadChunkError`].
    pub fn read(&self, id: ChunkId) -> Result<StoredChunk, ReadChunkError> {
        let (entry, stored) = self.fetch(id, ScanDepth::Contents)?;
        Ok(StoredChunk {
            plain_len: entry.plain_len,
            compressed: stored.into(),
        })
    }

    /// As [`read`](Self::read), but takes the record's word for its bytes. For a sender whose
    /// receivers all verify what they get, and that reads what they reject once more, with
    /// `read`.
    ///
    /// # Errors
    /// See [`ReadChunkError`].
    pub fn read_unverified(&self, id: ChunkId) -> Result<StoredChunk, ReadChunkError> {
        let (entry, stored) = self.fetch(id, ScanDepth::Headers)?;
        Ok(StoredChunk {
            plain_len: entry.plain_len,
            compressed: stored.into(),
        })
    }

    /// Compressed bytes that these chunks take, those that are not here counting nothing.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn stored_size(&self, ids: &[ChunkId]) -> Result<ByteCount, ReadChunkError> {
        let bytes = self.index.read(|index| {
            ids.iter().try_fold(0, |sum, id| {
                Ok(sum
                    + index
                        .get(id)?
                        .map_or(0, |entry| u64::from(entry.stored_len)))
            })
        })?;
        Ok(ByteCount::from_bytes(bytes))
    }

    /// Whether it is here and nothing bad is known of it: a put of it would store it again
    /// otherwise.
    pub(crate) fn is_whole(&self, id: &ChunkId, entry: Option<Entry>) -> bool {
        entry.is_some_and(|entry| !entry.damaged) && !self.ledger.has_chunk(id)
    }

    pub(crate) fn fetch(
        &self,
        id: ChunkId,
        depth: ScanDepth,
    ) -> Result<(Entry, Vec<u8>), ReadChunkError> {
        let found = self.fetch_again(id, depth, false);
        if let Err(ReadChunkError::Damaged { problem, .. }) = &found {
            self.note_chunk(id, *problem);
        }
        found
    }

    /// As `fetch`; with `known`, reads also what is marked as damaged.
    pub(crate) fn fetch_again(
        &self,
        id: ChunkId,
        depth: ScanDepth,
        known: bool,
    ) -> Result<(Entry, Vec<u8>), ReadChunkError> {
        let mut tried = None;
        for _ in 0..LOOKUPS {
            let entry = self
                .index
                .read(|index| index.get(&id))?
                .ok_or(ReadChunkError::NotFound(id))?;
            if entry.damaged && !known {
                return Err(ReadChunkError::Damaged {
                    id,
                    pack: entry.pack,
                    problem: ChunkProblem::Known,
                });
            }
            match self.read_entry(id, &entry, depth) {
                Ok(stored) => return Ok((entry, stored)),
                Err(RecordFault::Io(source)) => {
                    return Err(ReadChunkError::Io {
                        id,
                        path: self.packs.path_of(entry.pack),
                        source,
                    });
                }
                // Not there twice in the same place: nobody is moving it.
                Err(RecordFault::Damaged(problem)) if tried == Some((entry.pack, entry.offset)) => {
                    self.mark_damaged(id, entry.pack, entry.offset);
                    return Err(ReadChunkError::Damaged {
                        id,
                        pack: entry.pack,
                        problem,
                    });
                }
                Err(RecordFault::Damaged(_)) => tried = Some((entry.pack, entry.offset)),
            }
        }
        Err(ReadChunkError::NotFound(id))
    }

    fn read_entry(
        &self,
        id: ChunkId,
        entry: &Entry,
        depth: ScanDepth,
    ) -> Result<Vec<u8>, RecordFault> {
        let file = self
            .packs
            .open_for_read(entry.pack)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => RecordFault::Damaged(ChunkProblem::Gone),
                _ => RecordFault::Io(error),
            })?;
        let (header, stored) = read_record(&file, entry.offset, entry.stored_len, depth)?;
        let is_it = header.id == id && header.plain_len == entry.plain_len;
        if is_it {
            Ok(stored)
        } else {
            Err(RecordFault::Damaged(ChunkProblem::Header))
        }
    }

    /// Takes the mark away again, unless the chunk is somewhere else by now.
    pub(crate) fn mark_whole(&self, id: ChunkId, pack: PackNumber, offset: u64) {
        let marked = self.index.write(Flush::Now, |index| match index.get(&id)? {
            Some(entry) if entry.is_at(pack, offset) => index.insert(
                &id,
                &Entry {
                    damaged: false,
                    ..entry
                },
            ),
            _ => Ok(()),
        });
        if let Err(error) = marked {
            error!(chunk = %id, error = %chain(&error), "could not mark a chunk as whole");
        }
    }

    /// Remembers that the record at this place is damaged, unless the chunk is somewhere else by
    /// now.
    pub(crate) fn mark_damaged(&self, id: ChunkId, pack: PackNumber, offset: u64) {
        error!(chunk = %id, pack, offset, "a stored chunk is damaged");
        let marked = self.index.write(Flush::Now, |index| match index.get(&id)? {
            Some(entry) if entry.is_at(pack, offset) => index.insert(
                &id,
                &Entry {
                    damaged: true,
                    ..entry
                },
            ),
            _ => Ok(()),
        });
        if let Err(error) = marked {
            // The damage is found again by the next reader; what matters now is that this one gets
            // an error.
            error!(chunk = %id, error = %chain(&error), "could not mark a damaged chunk");
        }
    }
}
