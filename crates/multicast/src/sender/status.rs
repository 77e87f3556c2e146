//! The status of a session, for people.

use super::action::ReceiverId;
use crate::packet::Phase;
use crate::rate::Rate;
use crate::report::Stage;

/// A session at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderStatus {
    /// Where the session is.
    pub phase: Phase,
    /// From 1.
    pub pass: u32,
    /// What the pacer allows at present, on the wire.
    pub rate: Rate,
    /// Compressed bytes of chunks, counted when first sent.
    pub payload_bytes: u64,
    /// All bytes sent to the group, headers included.
    pub wire_bytes: u64,
    /// Part of `wire_bytes`: parity, and data sent again as a repair.
    pub repair_bytes: u64,
    /// Packets sent.
    pub packets: u64,
    /// Bytes kept for repairs.
    pub window_bytes: usize,
    /// One for each member, ascending by receiver.
    pub receivers: Vec<ReceiverStatus>,
}

/// One receiver of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiverStatus {
    /// The receiver.
    pub receiver: ReceiverId,
    /// Whether it hears the group.
    pub hears: bool,
    /// Packets lost of a million, over about the last second.
    pub loss_ppm: u32,
    /// Symbols made from parity.
    pub parity_used: u64,
    /// Datagrams that were not authentic packets of the session.
    pub rejected: u64,
    /// Datagrams dropped by the receiver's kernel.
    pub socket_drops: u64,
    /// What limits it, by its own account.
    pub limiting: Stage,
    /// How full its queues are.
    pub fill_percent: u8,
    /// Chunks it still wants.
    pub wanted: u32,
    /// Groups that it is waiting to have repaired.
    pub groups_behind: u32,
    /// It would be the next to be moved to unicast.
    pub next_unicast: bool,
}
