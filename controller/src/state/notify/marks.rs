//! What controllers must remember to tell a thing once.

use foghorn_types::{NoticeKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, number_in, numbered};
use crate::store::Revision;

const ALARM_PREFIX: &str = "/foghorn/v1/notify-alarm/";
const NODE_PREFIX: &str = "/foghorn/v1/notify-node/";
const ORDER_PREFIX: &str = "/foghorn/v1/notify-order/";

/// A state that was told and lasts: it is not told again before it has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alarm {
    /// The kind of event, and what it is about: the id of a task or node.
    #[serde(skip)]
    pub about: (String, u64),
    pub since: Timestamp,
    /// Images that are known to be damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<u32>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Alarm {
    /// The id of the alarm of this kind about this object.
    #[must_use]
    pub fn about(kind: NoticeKind, object: u64) -> (String, u64) {
        (kind.as_str().to_owned(), object)
    }
}

impl Record for Alarm {
    const WHAT: &'static str = "state that was told";
    type Id = (String, u64);
    type Body = Self;
    type Index = ();

    fn id(&self) -> Self::Id {
        self.about.clone()
    }

    fn key_of((kind, object): &Self::Id) -> String {
        format!("{ALARM_PREFIX}{kind}/{object:020}")
    }

    fn id_in(key: &str) -> Option<Self::Id> {
        let (kind, object) = key.strip_prefix(ALARM_PREFIX)?.split_once('/')?;
        Some((kind.to_owned(), object.parse().ok()?))
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(about: Self::Id, body: Self, modified: Revision) -> Self {
        Self {
            about,
            modified,
            ..body
        }
    }
}

/// Whether a storage node answers, as far as people were told, and when the controller that has its
/// link last said so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeSeen {
    #[serde(skip)]
    pub node: u32,
    pub up: bool,
    pub at: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for NodeSeen {
    const WHAT: &'static str = "note that a node answers";
    type Id = u32;
    type Body = Self;
    type Index = ();

    fn id(&self) -> u32 {
        self.node
    }

    fn key_of(node: &u32) -> String {
        numbered(NODE_PREFIX, *node)
    }

    fn id_in(key: &str) -> Option<u32> {
        number_in(NODE_PREFIX, key)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        *self
    }

    fn from_body(node: u32, body: Self, modified: Revision) -> Self {
        Self {
            node,
            modified,
            ..body
        }
    }
}

/// An order for several hosts, of which at least one task has ended and whose end is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    #[serde(skip)]
    pub order: u64,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for Order {
    const WHAT: &'static str = "order whose end is to be told";
    type Id = u64;
    type Body = Self;
    type Index = ();

    fn id(&self) -> u64 {
        self.order
    }

    fn key_of(order: &u64) -> String {
        format!("{ORDER_PREFIX}{order:020}")
    }

    fn id_in(key: &str) -> Option<u64> {
        key.strip_prefix(ORDER_PREFIX)?.parse().ok()
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        *self
    }

    fn from_body(order: u64, _: Self, modified: Revision) -> Self {
        Self { order, modified }
    }
}
