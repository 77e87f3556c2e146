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
