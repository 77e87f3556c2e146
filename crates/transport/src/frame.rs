//! Frames on a stream: `u32` little endian length and a body of at most [`MAX_FRAME`] bytes,
//! sometimes followed by raw bytes whose number the body gives.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream};
use serde::Serialize;
use tokio::time::Instant;

use crate::link::{QuicLink, RESET_ABANDONED, RESET_ENDED};
use crate::session::{CLOSE_VIOLATION, EndReason};
use crate::wire::{DecodeMessageError, MAX_FRAME, encode};

/// Why a stream could not go on.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum StreamError {
    #[error("{0}")]
    Ended(EndReason),
    #[error("the other end closed the stream early")]
    Reset,
    #[error("the stream ended in the middle of a message")]
    Truncated,
    #[error("a frame of {0} bytes exceeds the limit of {MAX_FRAME}")]
    Oversized(u32),
    #[error("a message could not be decoded")]
    Malformed(#[source] DecodeMessageError),
    #[error("expected {expected}, but received something else")]
    Unexpected { expected: &'static str },
    #[error("the agent refused: {reason}")]
    Refused { reason: String },
}

impl StreamError {
    /// Whether a new connection may succeed where this one failed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Ended(reason) => reason.is_transient(),
            Self::Reset => true,
            Self::Truncated
            | Self::Oversized(_)
            | Self::Malformed(_)
            | Self::Unexpected { .. }
            | Self::Refused { .. } => false,
        }
    }

    fn is_violation(&self) -> bool {
        matches!(
            self,
            Self::Oversized(_) | Self::Malformed(_) | Self::Unexpected { .. } | Self::Truncated
        )
    }
}

/// What the end of a writer's life means to the reader, if [`FrameWriter::finish`] was not called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnDrop {
    /// All was said.
    Finish,
    /// Something went wrong: the reader must not take the end for a proper one.
    Reset,
}

/// Segments taken from the stream in one go; one is at most a datagram, so this bounds what waits
/// here to 64 × 9 KB.
const BATCH: usize = 64;

/// Reads frames and raw bytes. Copies each byte once, from datagrams into one buffer per item.
#[derive(Debug)]
pub(crate) struct FrameReader {
    link: QuicLink,
    stream: RecvStream,
    segments: VecDeque<Bytes>,
    assembling: BytesMut,
    /// Length of the frame whose body comes next.
    frame: Option<usize>,
    /// Why nothing more comes, and since when. Quinn says it once, but whoever asked may have been
    /// cancelled before it knew.
    failed: Option<(ReadError, Instant)>,
}

impl FrameReader {
    pub(crate) fn new(link: QuicLink, stream: RecvStream) -> Self {
        Self {
            link,
            stream,
            segments: VecDeque::new(),
            assembling: BytesMut::new(),
            frame: None,
            failed: None,
        }
    }

    /// The next message, or `None` at the proper end of the stream. Cancel-safe.
    pub(crate) async fn next<M>(
        &mut self,
        decode: fn(&[u8]) -> Result<M, DecodeMessageError>,
    ) -> Result<Option<M>, StreamError> {
        let len = match self.frame {
            Some(len) => len,
            None => {
                let Some(head) = self.take(4).await? else {
                    return Ok(None);
                };
                let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
                if len as usize > MAX_FRAME {
                    return Err(self.blame(StreamError::Oversized(len)));
                }
                *self.frame.insert(len as usize)
            }
        };
        let Some(body) = self.take(len).await? else {
            return Err(self.blame(StreamError::Truncated));
        };
        self.frame = None;
        decode(&body)
            .map(Some)
            .map_err(|error| self.blame(StreamError::Malformed(error)))
    }

    /// The one message that must come here.
    pub(crate) async fn expect<M>(
        &mut self,
        decode: fn(&[u8]) -> Result<M, DecodeMessageError>,
    ) -> Result<M, StreamError> {
        let message = self.next(decode).await?;
        message.ok_or_else(|| self.blame(StreamError::Truncated))
    }

    /// `len` raw bytes. Cancel-safe as long as the next call asks for the same number.
    pub(crate) async fn raw(&mut self, len: usize) -> Result<Bytes, StreamError> {
        let bytes = self.take(len).await?;
        bytes.ok_or_else(|| self.blame(StreamError::Truncated))
    }

    /// A message came that has no place here.
    pub(crate) fn unexpected(&self, expected: &'static str) -> StreamError {
        self.blame(StreamError::Unexpected { expected })
    }

    /// A message was decoded, but its content is not valid.
    pub(crate) fn malformed(&self, error: DecodeMessageError) -> StreamError {
        self.blame(StreamError::Malformed(error))
    }

    /// Ends the connection when the peer broke the protocol: nothing it says later could be trusted
    /// to mean anything.
    fn blame(&self, error: StreamError) -> StreamError {
        if error.is_violation() {
            self.link
                .connection
                .close(CLOSE_VIOLATION, error.to_string().as_bytes());
        }
        error
    }

    /// `len` bytes in one piece, or `None` when the stream has ended before the first of them. What
    /// was read when the future is dropped stays in `self`.
    async fn take(&mut self, len: usize) -> Result<Option<Bytes>, StreamError> {
        if len == 0 {
            return Ok(Some(Bytes::new()));
        }
        loop {
            if let Some(bytes) = self.assemble(len) {
                return Ok(Some(bytes));
            }
            if let Some((error, since)) = &self.failed {
                return Err(self.link.read_failed(error.clone(), *since).await);
            }
            let mut batch = [const { Bytes::new() }; BATCH];
            match self.stream.read_chunks(&mut batch).await {
                Err(error) => self.failed = Some((error, Instant::now())),
                Ok(Some(count)) => self.segments.extend(batch.into_iter().take(count)),
                Ok(None) if self.assembling.is_empty() => return Ok(None),
                Ok(None) => return Err(self.blame(StreamError::Truncated)),
            }
        }
    }

    fn assemble(&mut self, len: usize) -> Option<Bytes> {
        if self.assembling.is_empty() {
            match self.segments.front_mut() {
                Some(first) if first.len() > len => return Some(first.split_to(len)),
                Some(first) if first.len() == len => return self.segments.pop_front(),
                Some(_) => self.assembling = BytesMut::with_capacity(len),
                None => return None,
            }
        }
        while self.assembling.len() < len {
            let segment = self.segments.front_mut()?;
            let missing = len - self.assembling.len();
            if segment.len() > missing {
                self.assembling
                    .extend_from_slice(&segment.split_to(missing));
            } else {
                self.assembling.extend_from_slice(segment);
                self.segments.pop_front();
            }
        }
        Some(std::mem::take(&mut self.assembling).freeze())
    }
}

impl Drop for FrameReader {
    fn drop(&mut self) {
        if self.link.is_told() {
            // Fails only when all was read; then nobody waits for an answer.
            let _ = self.stream.stop(RESET_ENDED);
        }
    }
}

/// Writes frames and raw bytes; raw bytes are not copied. Stops when a reason for the end of the
/// session was given.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    link: QuicLink,
    stream: SendStream,
    on_drop: OnDrop,
    outlives_session: bool,
}

impl FrameWriter {
    pub(crate) fn new(link: QuicLink, stream: SendStream, on_drop: OnDrop) -> Self {
        Self {
            link,
            stream,
            on_drop,
            outlives_session: false,
        }
    }

    /// Not cancel-safe: a frame cut short spoils the stream.
    pub(crate) async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), StreamError> {
        self.send_body(encode(message)).await
    }

    /// Not cancel-safe.
    pub(crate) async fn send_body(&mut self, body: Vec<u8>) -> Result<(), StreamError> {
        let mut parts = [frame_of(body)];
        self.write(&mut parts).await
    }

    /// Not cancel-safe.
    pub(crate) async fn send_with<M: Serialize>(
        &mut self,
        message: &M,
        raw: Bytes,
    ) -> Result<(), StreamError> {
        let mut parts = [frame_of(encode(message)), raw];
        self.write(&mut parts).await
    }

    /// A writer that waits for room must not hold on to what it has queued when the session is
    /// over: the reason would have to wait behind it for the peer's window.
    async fn write(&mut self, parts: &mut [Bytes]) -> Result<(), StreamError> {
        let written = if self.outlives_session {
            self.stream.write_all_chunks(parts).await
        } else {
            tokio::select! {
                written = self.stream.write_all_chunks(parts) => written,
                reason = self.link.until_told() => {
                    self.on_drop = OnDrop::Reset;
                    // Fails only when the stream is over already.
                    let _ = self.stream.reset(RESET_ENDED);
                    return Err(StreamError::Ended(reason));
                }
            }
        };
        match written {
            Ok(()) => Ok(()),
            Err(error) => Err(self.link.write_failed(error, Instant::now()).await),
        }
    }

    /// For what is said after the end.
    pub(crate) fn outlive_session(&mut self) {
        self.outlives_session = true;
    }

    pub(crate) fn set_on_drop(&mut self, on_drop: OnDrop) {
        self.on_drop = on_drop;
    }

    pub(crate) fn finish(mut self) {
        self.on_drop = OnDrop::Finish;
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        // Both fail only when the stream is over already, and then there is nothing left to say.
        let _ = match self.on_drop {
            OnDrop::Finish => self.stream.finish(),
            OnDrop::Reset if self.link.is_told() => self.stream.reset(RESET_ENDED),
            OnDrop::Reset => self.stream.reset(RESET_ABANDONED),
        };
    }
}

fn frame_of(body: Vec<u8>) -> Bytes {
    debug_assert!(
        body.len() <= MAX_FRAME,
        "messages are bounded where they are built"
    );
    let len = u32::try_from(body.len()).expect("messages are far below 4 GiB");
    let mut frame = BytesMut::with_capacity(4 + body.len());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&body);
    frame.freeze()
}
