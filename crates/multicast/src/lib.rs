//! Multicast of an image to many machines: sender and receiver as pure state machines.
//!
//! No sockets, clocks, files, threads or async: time ([`Time`]) and randomness (a seed, a secret)
//! are arguments, packets and reports go in and out through method calls. Drivers live in
//! `crates/transport`; `tests/sim` runs the same machines on a LAN in memory. The format on the
//! wire and the rules are in `docs/protocol/multicast.md`.
//!
//! | part | is |
//! | --- | --- |
//! | [`Sender`] | one per session: a pass over the chunks that any receiver lacks, paced, with parity and repairs |
//! | [`Receiver`] | one per machine: packets in; chunks, reports and what it has out |
//! | [`Sealer`], [`Opener`] | packets under the session's key |
//! | [`ChunkSet`] | which chunks, as a bitmap |
//! | [`Report`] | what a receiver says about itself |
//!
//! What the crate does not do: read chunks, verify them, hand out keys, carry reports. Its drivers
//! do.

#![warn(missing_docs)]

mod chunks;
mod cursor;
mod erasure;
mod layout;
mod pacer;
mod packet;
mod parity;
mod random;
mod rate;
mod receiver;
mod replay;
mod report;
mod rope;
mod seal;
mod sender;
mod time;
#[cfg(test)]
mod vectors;

pub use chunks::{ChunkSet, MAX_CHUNKS, SessionChunk};
pub use cursor::Malformed;
pub use layout::MAX_CHUNK_BYTES;
pub use packet::{Body, GroupNumber, MAX_SYMBOL_SIZE, Packet, Phase, SYMBOL_HEAD, Symbol, Tick};
pub use parity::{MAX_DATA_SYMBOLS, PARITY_SYMBOLS};
pub use rate::Rate;
pub use receiver::{
    InvalidConfig, ReceivedChunk, Receiver, ReceiverAction, ReceiverConfig, Unheard,
};
pub use report::{Deficit, MAX_DEFICITS, MAX_REPORT, Report, Stage};
pub use seal::{
    Epoch, HEADER, KeyMaterial, MAX_SEQUENCE, Opener, OpenerCounts, PACKET_VERSION, Rejected,
    SealError, Sealer, SessionTag, Suite, TAG,
};
pub use sender::{
    DemoteReason, Floor, IpVersion, JoinError, ReceiverId, ReceiverStatus, Sender, SenderAction,
    SenderConfig, SenderStatus, Unavailable, symbol_size_for, symbol_wire_size,
};
pub use time::Time;
