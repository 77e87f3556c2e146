//! What keeps a storage node from taking tasks beside its row: an operator who cordoned it, or the
//! suspicion that two machines use its certificate.

use foghorn_types::{StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of holds: this and the node's id.
const PREFIX: &str = "/foghorn/v1/node-hold/";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeHold {
    pub node: StorageNodeId,
    /// It gets no new tasks; those that run end there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<Cordon>,
    /// Since when the links of its certificate are refused, because two machines used it in turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned: Option<Timestamp>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// An operator's word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cordon {
    pub at: Timestamp,
    /// May be empty.
    pub reason: String,
}

impl NodeHold {
    #[must_use]
    pub fn none(node: StorageNodeId) -> Self {
        Self {
            node,
            cordoned: None,
            cloned: None,
            modified: 0,
        }
    }

    /// Whether nothing holds the node.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.cordoned.is_none() && self.cloned.is_none()
    }
}

impl Record for NodeHold {
    const WHAT: &'static str = "hold of a storage node";
    type Index = ();

    numbered_by!(PREFIX, node: StorageNodeId);
    stored_whole!();
}
