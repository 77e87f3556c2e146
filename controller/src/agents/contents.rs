//! What nodes say of the content that they hold.

use foghorn_types::{ByteCount, HostId, Timestamp};

/// Where content comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub captured: Timestamp,
    /// The host whose disk was captured, as it was called then.
    pub host: Option<(HostId, String)>,
    pub used: ByteCount,
    pub stored: ByteCount,
}

/// What is known of content that a node cannot give out whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentDamage {
    /// Damaged chunks that it needs.
    pub chunks: u64,
    /// The list of its chunks is damaged itself.
    pub record: bool,
    /// When the first of it was found.
    pub found: Timestamp,
    pub problem: String,
}

/// What is known of content that does not count as a copy until its node has verified it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unverified {
    pub verified: u64,
    pub total: u64,
    /// Why it has to be verified again.
    pub reason: String,
}

/// The check that a node makes of everything that it stores.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreCheck {
    pub running: bool,
    pub parts_done: u32,
    pub parts_total: u32,
    pub last_ended: Option<Timestamp>,
    /// Chunks that the last round found damaged.
    pub damaged: u64,
    /// Why it does not go on now; empty while it does, or when none is due.
    pub waits_for: String,
}
