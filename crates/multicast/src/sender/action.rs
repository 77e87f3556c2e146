//! What the driver of a sender has to do.

use std::time::Duration;

use crate::chunks::{ChunkSet, SessionChunk};
use crate::packet::Packet;
use crate::rate::Rate;
use crate::time::Time;

/// A receiver of a session; its connection's business what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReceiverId(pub u32);

/// What the driver of a [`Sender`](crate::Sender) is to do.
#[derive(PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum SenderAction<'a> {
    /// Seal it and send it to the group.
    Send(Packet<'a>),
    /// Read this chunk from the store and answer with [`chunk`](crate::Sender::chunk).
    Load(SessionChunk),
    /// Tell the receiver to continue by unicast. It is out of the session; it may join again after
    /// a rest.
    Demote {
        receiver: ReceiverId,
        reason: DemoteReason,
    },
    /// The receiver has been silent: it is out of the session. It may join again.
    Drop { receiver: ReceiverId },
    /// Tell the receiver to fetch these chunks by unicast: they will not come by multicast any
    /// more.
    Unicast {
        receiver: ReceiverId,
        chunks: ChunkSet,
    },
    /// There is nothing more for this receiver; it is out of the session.
    Finished { receiver: ReceiverId },
    /// Make a new key, hand it to the receivers that are left, and seal with it from then on.
    RotateKey,
    /// Nothing to do before this, unless something comes in.
    Wait(Time),
    /// Nobody wants anything any more. Said once, and again after each time somebody has joined
    /// since.
    Over,
}

/// Why a receiver continues by unicast.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum DemoteReason {
    #[error("its network link takes only {rate}, below the floor of {floor}")]
    SlowLink { rate: Rate, floor: Rate },
    #[error("its disk takes only {rate}, below the floor of {floor}")]
    SlowDisk { rate: Rate, floor: Rate },
    #[error("it needs more repairs than the other receivers can wait for")]
    TooManyRepairs,
    #[error("its reports contradict what was sent")]
    Contradiction,
}

impl DemoteReason {
    /// Whether the receiver is not to be trusted with the key any more.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::Contradiction)
    }
}

/// Why a receiver could not join.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum JoinError {
    #[error("the receiver was too slow; it may join again in {} s", wait.as_secs())]
    TooSoon { wait: Duration },
    #[error("the receiver broke the protocol and stays on unicast")]
    Expelled,
    #[error("the session has {most} receivers, which is the limit")]
    Full { most: usize },
    #[error("chunk {chunk} was requested, but the session has only {chunks} chunks", chunk = chunk.0)]
    UnknownChunk { chunk: SessionChunk, chunks: u32 },
}

/// A chunk that the store does not give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unavailable;
