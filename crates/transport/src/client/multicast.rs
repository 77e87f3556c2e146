//! The control stream of a multicast session as a receiver holds it.

use std::time::Duration;

use foghorn_multicast::{ChunkSet, KeyMaterial};

use crate::frame::{FrameReader, FrameWriter, StreamError};
use crate::multicast::SessionTerms;
use crate::wire::{
    AgentMessage, ClientMessage, cut, decode_agent_message, decode_chunks, encode_chunks,
};

/// What the agent says to a receiver of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum MulticastNews {
    /// The answer to joining: how to hear the session. Comes first, when the session is ready.
    Joined(SessionTerms),
    /// A further key; packets under it follow soon.
    Key(KeyMaterial),
    /// These chunks will not come any more: they are to be fetched.
    Fetch(ChunkSet),
    /// The stream no longer cares for this receiver: what is missing is to be fetched. Nothing
    /// follows. After `rest` it may join again; `None`: not in this session.
    Demoted {
        reason: String,
        rest: Option<Duration>,
    },
    /// The session has ended: what is missing is to be fetched. Nothing follows.
    Over { reason: String },
}

/// A receiver's voice. Dropping it leaves the session.
#[derive(Debug)]
pub struct MulticastMember {
    writer: FrameWriter,
}

/// A receiver's ear.
#[derive(Debug)]
pub struct MulticastListener {
    reader: FrameReader,
    chunks: u32,
}

pub(super) async fn join(
    mut writer: FrameWriter,
    reader: FrameReader,
    chunks: u32,
    wants: &ChunkSet,
) -> Result<(MulticastMember, MulticastListener), StreamError> {
    let mut parts = encode_chunks(wants).into_iter();
    let first = parts.next().unwrap_or_default();
    writer
        .send(&ClientMessage::JoinMulticast {
            chunks,
            wants: first,
        })
        .await?;
    for part in parts {
        writer
            .send(&ClientMessage::MulticastWant { chunks: part })
            .await?;
    }
    Ok((
        MulticastMember { writer },
        MulticastListener { reader, chunks },
    ))
}

impl MulticastMember {
    /// These chunks are right. Not cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent has ended the session.
    pub async fn have(&mut self, chunks: &ChunkSet) -> Result<(), StreamError> {
        for part in encode_chunks(chunks) {
            self.writer
                .send(&ClientMessage::MulticastHave { chunks: part })
                .await?;
        }
        Ok(())
    }

    /// These chunks are wanted, too. Not cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent has ended the session.
    pub async fn want(&mut self, chunks: &ChunkSet) -> Result<(), StreamError> {
        for part in encode_chunks(chunks) {
            self.writer
                .send(&ClientMessage::MulticastWant { chunks: part })
                .await?;
        }
        Ok(())
    }

    /// Goes on by unicast, and says why. Not cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent has ended the session.
    pub async fn leave(mut self, reason: &str) -> Result<(), StreamError> {
        self.writer
            .send(&ClientMessage::MulticastLeave {
                reason: cut(reason.to_owned()),
            })
            .await
    }
}

impl MulticastListener {
    /// What the agent says next; `None` when it has nothing more to say. Cancel-safe.
    ///
    /// # Errors
    /// When the connection fails or the agent broke the protocol.
    pub async fn next(&mut self) -> Option<Result<MulticastNews, StreamError>> {
        self.reader
            .next(decode_agent_message)
            .await
            .transpose()
            .map(|message| {
                let malformed = |error| self.reader.malformed(error);
                Ok(match message? {
                    AgentMessage::MulticastJoined(terms) => {
                        MulticastNews::Joined(terms.try_into().map_err(malformed)?)
                    }
                    AgentMessage::MulticastKey(key) => {
                        MulticastNews::Key(key.try_into().map_err(malformed)?)
                    }
                    AgentMessage::MulticastFetch { chunks } => MulticastNews::Fetch(
                        decode_chunks(&chunks, self.chunks).map_err(malformed)?,
                    ),
                    AgentMessage::MulticastDemoted { reason, rest_ms } => {
                        let rest = rest_ms.map(|rest| Duration::from_millis(rest.into()));
                        MulticastNews::Demoted {
                            reason: cut(reason),
                            rest,
                        }
                    }
                    AgentMessage::MulticastOver { reason } => MulticastNews::Over {
                        reason: cut(reason),
                    },
                    AgentMessage::RequestRefused { reason } => {
                        return Err(StreamError::Refused {
                            reason: cut(reason),
                        });
                    }
                    _ => return Err(self.reader.unexpected("news of the multicast session")),
                })
            })
    }
}
