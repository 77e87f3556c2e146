//! The controllers that share the store: each has a record of its own and writes it again every
//! few seconds, so that the others see that it lives. No clock but the reader's own counts.

use foghorn_types::StorageNodeId;
use serde::{Deserialize, Serialize};

use super::shelf::Record;
use crate::store::Revision;

/// Keys of controllers: this, and the id.
pub(crate) const PREFIX: &str = "/foghorn/v1/controller/";

/// A controller, from its start to its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ControllerRecord {
    /// Random, of one process.
    #[serde(skip)]
    pub id: String,
    /// `host:port` at which other controllers call it.
    pub peers: String,
    /// `host:port` at which agents call it.
    pub link: String,
    pub software: String,
    /// It is about to end: agents shall not call it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// Storage nodes that were linked to it when the record was written, for controllers that do not
    /// hear it. `None` from an earlier version, which does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<LinkedNode>>,
    /// Counts how often the record was written.
    pub beat: u64,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// A storage node that is linked to a controller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkedNode {
    pub id: StorageNodeId,
    /// `host:port` at which clients reach it, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl Record for ControllerRecord {
    const WHAT: &'static str = "controller";
    type Id = String;
    type Body = Self;
    type Index = ();

    fn id(&self) -> String {
        self.id.clone()
    }

    fn key_of(id: &String) -> String {
        format!("{PREFIX}{id}")
    }

    fn id_in(key: &str) -> Option<String> {
        key.strip_prefix(PREFIX).map(str::to_owned)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(id: String, body: Self, modified: Revision) -> Self {
        Self {
            id,
            modified,
            ..body
        }
    }
}
