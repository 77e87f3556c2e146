//! Lanes as the client holds them. Every lane has two halves, so that one task may feed it while
//! another drains it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use foghorn_types::ChunkId;

use crate::frame::{FrameReader, FrameWriter, StreamError};
use crate::wire::{AgentMessage, ClientMessage, decode_agent_message};

/// Ids in one `Want`: small enough that the agent starts on the first ones early.
const WANT_BATCH: usize = 256;

/// Asks for chunks. Dropping it says that nothing more will be asked for.
#[derive(Debug)]
pub struct FetchRequests {
    writer: FrameWriter,
    asked: Arc<AtomicU64>,
}

/// Chunks as they arrive, in the order they were asked for.
#[derive(Debug)]
pub struct FetchedChunks {
    reader: FrameReader,
    asked: Arc<AtomicU64>,
    answered: u64,
    /// Its raw bytes come next.
    head: Option<ChunkHead>,
}

#[derive(Clone, Copy, Debug)]
struct ChunkHead {
    id: ChunkId,
    plain_len: u32,
    compressed_len: u32,
}

/// One chunk as the agent stores it. Nothing in it is verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedChunk {
    /// Name of the chunk.
    pub id: ChunkId,
    /// Bytes after decompression, at most 1 MiB.
    pub plain_len: u32,
    /// One zstd frame.
    pub compressed: Bytes,
}

/// What the agent answers for one chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Fetched {
    /// The chunk, as the agent has it.
    Chunk(FetchedChunk),
    /// The agent does not have it, or found it damaged.
    Unavailable { id: ChunkId, reason: String },
}

pub(super) fn fetch_lane(
    writer: FrameWriter,
    reader: FrameReader,
) -> (FetchRequests, FetchedChunks) {
    let asked = Arc::new(AtomicU64::new(0));
    (
        FetchRequests {
            writer,
            asked: asked.clone(),
        },
        FetchedChunks {
            reader,
            asked,
            answered: 0,
            head: None,
        },
    )
}

impl FetchRequests {
    /// Asks for chunks. Waits when the agent has a few tens of thousands of requests unanswered.
    /// Not cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent has given up the lane.
    pub async fn request(&mut self, ids: &[ChunkId]) -> Result<(), StreamError> {
        for ids in ids.chunks(WANT_BATCH) {
            self.asked.fetch_add(ids.len() as u64, Ordering::Relaxed);
            self.writer
                .send(&ClientMessage::Want { ids: ids.to_vec() })
                .await?;
        }
        Ok(())
    }
}

impl FetchedChunks {
    /// The next answer, or `None` when nothing more was asked for and all answers are in.
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails, or the agent ends the lane with chunks still owed.
    pub async fn next(&mut self) -> Option<Result<Fetched, StreamError>> {
        self.try_next().await.transpose()
    }

    async fn try_next(&mut self) -> Result<Option<Fetched>, StreamError> {
        let head = match self.head {
            Some(head) => head,
            None => match self.reader.next(decode_agent_message).await? {
                Some(AgentMessage::Chunk {
                    id,
                    plain_len,
                    compressed_len,
                }) => *self.head.insert(ChunkHead {
                    id,
                    plain_len,
                    compressed_len,
                }),
                Some(AgentMessage::Unavailable { id, reason }) => {
                    self.answered += 1;
                    return Ok(Some(Fetched::Unavailable { id, reason }));
                }
                Some(_) => return Err(self.reader.unexpected("a chunk")),
                None if self.answered < self.asked.load(Ordering::Relaxed) => {
                    return Err(StreamError::Truncated);
                }
                None => return Ok(None),
            },
        };
        let compressed = self.reader.raw(head.compressed_len as usize).await?;
        self.head = None;
        self.answered += 1;
        Ok(Some(Fetched::Chunk(FetchedChunk {
            id: head.id,
            plain_len: head.plain_len,
            compressed,
        })))
    }
}

/// Sends chunks to be stored. Dropping it without [`finish`](Self::finish) gives the lane up.
#[derive(Debug)]
pub struct StoreSender {
    writer: FrameWriter,
}

/// What became of the chunks that were sent.
#[derive(Debug)]
pub struct StoreAcks {
    reader: FrameReader,
}

/// What became of chunks that were sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Ack {
    /// They survive a loss of power.
    Durable(Vec<ChunkId>),
    /// This one was not taken: the bytes are not what the id says, or the agent's disk is full or
    /// failing.
    Refused { id: ChunkId, reason: String },
}

pub(super) fn store_lane(writer: FrameWriter, reader: FrameReader) -> (StoreSender, StoreAcks) {
    (StoreSender { writer }, StoreAcks { reader })
}

impl StoreSender {
    /// Sends one chunk: `compressed` is one zstd frame of at most 1 MiB and 8 KiB that gives
    /// `plain_len` bytes. Waits while the agent is behind. Not cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent has given up the lane.
    ///
    /// # Panics
    /// In debug builds, when a length is beyond the limits of the protocol; the agent ends the
    /// session for it.
    pub async fn send(
        &mut self,
        id: ChunkId,
        plain_len: u32,
        compressed: Bytes,
    ) -> Result<(), StreamError> {
        debug_assert!(
            plain_len <= crate::wire::MAX_PLAIN
                && compressed.len() <= crate::wire::MAX_COMPRESSED as usize
        );
        let compressed_len = u32::try_from(compressed.len()).unwrap_or(u32::MAX);
        let head = ClientMessage::Chunk {
            id,
            plain_len,
            compressed_len,
        };
        self.writer.send_with(&head, compressed).await
    }

    /// Says that all chunks were sent; their acknowledgements still come.
    pub fn finish(self) {
        self.writer.finish();
    }
}

impl StoreAcks {
    /// The next acknowledgement, or `None` when the lane was finished and every chunk was answered.
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent has given up the lane.
    pub async fn next(&mut self) -> Option<Result<Ack, StreamError>> {
        self.reader
            .next(decode_agent_message)
            .await
            .transpose()
            .map(|message| match message? {
                AgentMessage::Durable { ids } => Ok(Ack::Durable(ids)),
                AgentMessage::ChunkRefused { id, reason } => Ok(Ack::Refused { id, reason }),
                _ => Err(self.reader.unexpected("an acknowledgement")),
            })
    }
}
