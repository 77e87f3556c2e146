//! The control stream of a multicast session as the agent holds it, one per receiver.

use std::time::Duration;

use foghorn_multicast::{ChunkSet, KeyMaterial};

use crate::frame::{FrameReader, FrameWriter, StreamError};
use crate::multicast::SessionTerms;
use crate::wire::{
    AgentMessage, ClientMessage, cut, decode_chunks, decode_client_message, encode_chunks,
};

/// A client joins the multicast session of its task.
#[derive(Debug)]
pub struct MulticastLane {
    /// How many distinct data chunks the client thinks the image has.
    pub chunks: u32,
    /// What it wants; large sets go on in [`MemberRequest::Want`].
    pub wants: ChunkSet,
    /// What the client says from now on.
    pub requests: MemberRequests,
    /// What the client is told.
    pub notices: MemberNotices,
}

/// What a receiver says after it has joined.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum MemberRequest {
    /// These chunks are right.
    Have(ChunkSet),
    /// These are wanted, too.
    Want(ChunkSet),
    /// It continues by unicast, for this reason.
    Leave { reason: String },
}

/// Listens to a receiver.
#[derive(Debug)]
pub struct MemberRequests {
    reader: FrameReader,
    chunks: u32,
}

/// Speaks to a receiver.
#[derive(Debug)]
pub struct MemberNotices {
    writer: FrameWriter,
}

impl MulticastLane {
    pub(super) fn new(
        writer: FrameWriter,
        reader: FrameReader,
        chunks: u32,
        wants: &[u8],
    ) -> Result<Self, StreamError> {
        let wants = decode_chunks(wants, chunks).map_err(|error| reader.malformed(error))?;
        Ok(Self {
            chunks,
            wants,
            requests: MemberRequests { reader, chunks },
            notices: MemberNotices { writer },
        })
    }
}

impl MemberRequests {
    /// What the receiver says next; `None` when it has left. Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the client broke the protocol (then the connection is closed).
    pub async fn next(&mut self) -> Option<Result<MemberRequest, StreamError>> {
        self.reader
            .next(decode_client_message)
            .await
            .transpose()
            .map(|message| {
                let decode = |bytes: &[u8]| {
                    decode_chunks(bytes, self.chunks).map_err(|error| self.reader.malformed(error))
                };
                match message? {
                    ClientMessage::MulticastHave { chunks } => {
                        decode(&chunks).map(MemberRequest::Have)
                    }
                    ClientMessage::MulticastWant { chunks } => {
                        decode(&chunks).map(MemberRequest::Want)
                    }
                    ClientMessage::MulticastLeave { reason } => Ok(MemberRequest::Leave {
                        reason: cut(reason),
                    }),
                    _ => Err(self.reader.unexpected("word of a multicast receiver")),
                }
            })
    }
}

impl MemberNotices {
    /// Answers the join. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn joined(&mut self, terms: &SessionTerms) -> Result<(), StreamError> {
        self.writer
            .send(&AgentMessage::MulticastJoined(terms.into()))
            .await
    }

    /// Hands out a further key. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn key(&mut self, key: &KeyMaterial) -> Result<(), StreamError> {
        self.writer
            .send(&AgentMessage::MulticastKey(key.into()))
            .await
    }

    /// Tells the client to fetch these chunks. Not cancel-safe.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn fetch(&mut self, chunks: &ChunkSet) -> Result<(), StreamError> {
        for chunks in encode_chunks(chunks) {
            self.writer
                .send(&AgentMessage::MulticastFetch { chunks })
                .await?;
        }
        Ok(())
    }

    /// Tells the client to fetch what it lacks: it is out of the session, and may join again after
    /// `rest`, if at all. `reason` is cut to 1 KiB.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn demoted(
        mut self,
        reason: &str,
        rest: Option<Duration>,
    ) -> Result<(), StreamError> {
        let rest_ms = rest.map(|rest| u32::try_from(rest.as_millis()).unwrap_or(u32::MAX));
        self.writer
            .send(&AgentMessage::MulticastDemoted {
                reason: cut(reason.to_owned()),
                rest_ms,
            })
            .await?;
        self.writer.finish();
        Ok(())
    }

    /// Tells the client that the session has ended. `reason` is cut to 1 KiB.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn over(mut self, reason: &str) -> Result<(), StreamError> {
        self.writer
            .send(&AgentMessage::MulticastOver {
                reason: cut(reason.to_owned()),
            })
            .await?;
        self.writer.finish();
        Ok(())
    }

    /// There is no session to join. `reason` is cut to 1 KiB.
    ///
    /// # Errors
    /// When the client has gone.
    pub async fn refuse(mut self, reason: &str) -> Result<(), StreamError> {
        self.writer
            .send(&AgentMessage::RequestRefused {
                reason: cut(reason.to_owned()),
            })
            .await?;
        self.writer.finish();
        Ok(())
    }
}
