//! Lanes as the agent holds them. The halves are separate so that the agent can read ahead from its
//! disk while it sends, and write to it while it receives; the queue between them is the agent's
//! and bounded.

use bytes::Bytes;
use foghorn_types::ChunkId;

use crate::frame::{FrameReader, FrameWriter, StreamError};
use crate::wire::{AgentMessage, ClientMessage, MAX_IDS, cut, decode_client_message};

/// A client fetches chunks.
#[derive(Debug)]
pub struct FetchLane {
    /// What the client asks for.
    pub wanted: WantedChunks,
    /// Where the answers go.
    pub chunks: ChunkSender,
}

impl FetchLane {
    pub(super) fn new(writer: FrameWriter, reader: FrameReader) -> Self {
        Self {
            wanted: WantedChunks { reader },
            chunks: ChunkSender { writer },
        }
    }
}

/// What the client asks for. Not reading it holds the client back.
#[derive(Debug)]
pub struct WantedChunks {
    reader: FrameReader,
}

impl WantedChunks {
    /// The next ids to send, in this order; `None` when the client wants nothing more. Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the client broke the protocol (then the connection is closed).
    pub async fn next(&mut self) -> Option<Result<Vec<ChunkId>, StreamError>> {
        self.reader
            .next(decode_client_message)
            .await
            .transpose()
            .map(|message| match message? {
                ClientMessage::Want { ids } => Ok(ids),
                _ => Err(self.reader.unexpected("ids of chunks")),
            })
    }
}

/// Sends what was asked for, each id exactly once, in order. Dropping it without
/// [`finish`](Self::finish) tells the client that something went wrong.
#[derive(Debug)]
pub struct ChunkSender {
    writer: FrameWriter,
}

impl ChunkSender {
    /// Sends one chunk as it is stored; waits while the client is behind. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone or given up the lane.
    pub async fn send(
        &mut self,
        id: ChunkId,
        plain_len: u32,
        compressed: Bytes,
    ) -> Result<(), StreamError> {
        let compressed_len = u32::try_from(compressed.len()).unwrap_or(u32::MAX);
        self.writer
            .send_with(
                &AgentMessage::Chunk {
                    id,
                    plain_len,
                    compressed_len,
                },
                compressed,
            )
            .await
    }

    /// Says that this chunk cannot be had here. `reason` is cut to 1 KiB. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone or given up the lane.
    pub async fn unavailable(&mut self, id: ChunkId, reason: &str) -> Result<(), StreamError> {
        self.writer
            .send(&AgentMessage::Unavailable {
                id,
                reason: cut(reason.to_owned()),
            })
            .await
    }

    /// Everything asked for was answered.
    pub fn finish(self) {
        self.writer.finish();
    }
}

/// A client stores chunks.
#[derive(Debug)]
pub struct StoreLane {
    /// What the client sends.
    pub chunks: SentChunks,
    /// Where confirmations go.
    pub acks: AckSender,
}

impl StoreLane {
    pub(super) fn new(writer: FrameWriter, reader: FrameReader) -> Self {
        Self {
            chunks: SentChunks { reader, head: None },
            acks: AckSender { writer },
        }
    }
}

/// A chunk as a client sent it. Nothing in it is verified; its lengths are within the limits of the
/// protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentChunk {
    /// Name that the client gives the chunk; not verified.
    pub id: ChunkId,
    /// Bytes after decompression, at most 1 MiB.
    pub plain_len: u32,
    /// Should be one zstd frame.
    pub compressed: Bytes,
}

/// Chunks as the client sends them. Not reading them holds the client back.
#[derive(Debug)]
pub struct SentChunks {
    reader: FrameReader,
    /// Its raw bytes come next.
    head: Option<(ChunkId, u32, u32)>,
}

impl SentChunks {
    /// The next chunk; `None` when the client has sent all. Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails, the client gave up the lane, or broke the protocol (then the
    /// connection is closed).
    pub async fn next(&mut self) -> Option<Result<SentChunk, StreamError>> {
        self.try_next().await.transpose()
    }

    async fn try_next(&mut self) -> Result<Option<SentChunk>, StreamError> {
        let (id, plain_len, compressed_len) = match self.head {
            Some(head) => head,
            None => match self.reader.next(decode_client_message).await? {
                Some(ClientMessage::Chunk {
                    id,
                    plain_len,
                    compressed_len,
                }) => *self.head.insert((id, plain_len, compressed_len)),
                Some(_) => return Err(self.reader.unexpected("a chunk")),
                None => return Ok(None),
            },
        };
        let compressed = self.reader.raw(compressed_len as usize).await?;
        self.head = None;
        Ok(Some(SentChunk {
            id,
            plain_len,
            compressed,
        }))
    }
}

/// Tells the client what became of its chunks. Dropping it without [`finish`](Self::finish) tells
/// the client that something went wrong.
#[derive(Debug)]
pub struct AckSender {
    writer: FrameWriter,
}

impl AckSender {
    /// These chunks survive a loss of power. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone or given up the lane.
    pub async fn durable(&mut self, ids: &[ChunkId]) -> Result<(), StreamError> {
        for ids in ids.chunks(MAX_IDS) {
            self.writer
                .send(&AgentMessage::Durable { ids: ids.to_vec() })
                .await?;
        }
        Ok(())
    }

    /// This chunk was not taken. `reason` is cut to 1 KiB. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone or given up the lane.
    pub async fn refused(&mut self, id: ChunkId, reason: &str) -> Result<(), StreamError> {
        self.writer
            .send(&AgentMessage::ChunkRefused {
                id,
                reason: cut(reason.to_owned()),
            })
            .await
    }

    /// Every chunk was answered.
    pub fn finish(self) {
        self.writer.finish();
    }
}
