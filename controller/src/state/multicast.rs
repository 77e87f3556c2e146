//! What a multicast session needs beside its row, which speaks FOG's words: when it starts, how
//! fast it may be, and which group each storage node that serves it sends to.
//!
//! A group is leased by being in the record of a session that has not ended. There is nothing else
//! to give back: the record goes with the session, whoever crashes meanwhile. So that no group is
//! leased twice, whoever leases one also writes [`Turn`], and relies on nobody else having written
//! it since.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::{BitRate, ManifestId, SessionId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, Shelf, numbered_by, stored_whole};
use crate::store::{Change, Compare, Op, Revision};

/// Keys of plans: this and the session's id.
const PREFIX: &str = "/foghorn/v1/multicast/session/";
/// Written by whoever leases a group.
const TURN: &str = "/foghorn/v1/multicast/turn";

/// When a session starts. What is absent follows from its tasks and the settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Start {
    /// When so many receivers are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<u32>,
    /// At this time, whoever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// So long after the first receiver at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
}

/// One version of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fixed {
    pub manifest: ManifestId,
    /// `None` when it is known by its manifest alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionPlan {
    pub session: SessionId,
    #[serde(default)]
    pub start: Start,
    /// On the wire; `None` when nobody has set one for this session.
    #[serde(
        rename = "max_rate_bits",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub max_rate: Option<BitRate>,
    /// Where each node sends to.
    #[serde(default)]
    pub leases: BTreeMap<StorageNodeId, SocketAddr>,
    /// The version that all of its hosts get; `None` until the first of them has come, if the order
    /// names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Fixed>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl SessionPlan {
    /// A plan in which everything follows from the tasks and the settings.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            start: Start::default(),
            max_rate: None,
            leases: BTreeMap::new(),
            fixed: None,
            modified: 0,
        }
    }
}

impl Record for SessionPlan {
    const WHAT: &'static str = "plan of a multicast session";
    type Index = ();

    numbered_by!(PREFIX, session: SessionId);
    stored_whole!();
}

impl Shelf<SessionPlan> {
    /// Groups that some session has.
    #[must_use]
    pub fn used(&self) -> HashSet<IpAddr> {
        self.iter()
            .flat_map(|plan| plan.leases.values())
            .map(SocketAddr::ip)
            .collect()
    }
}

/// Whose turn it is to lease a group: the key is written by whoever does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turn(Option<Revision>);

impl Turn {
    /// Whether a key is this one.
    pub(super) fn is_at(key: &str) -> bool {
        key == TURN
    }

    pub(super) fn apply(&mut self, change: &Change) {
        self.0 = match change {
            Change::Put(entry) => Some(entry.modified),
            Change::Delete { .. } => None,
        };
    }

    /// Holds as long as nobody has leased a group since the tables were read.
    #[must_use]
    pub fn unchanged(self) -> Compare {
        match self.0 {
            Some(revision) => Compare::ModifiedAt(TURN.to_owned(), revision),
            None => Compare::Absent(TURN.to_owned()),
        }
    }

    /// Makes worthless every other lease that was drafted from the same tables.
    #[must_use]
    pub fn take_op(session: SessionId) -> Op {
        Op::Put {
            key: TURN.to_owned(),
            value: Bytes::from(session.to_string()),
        }
    }
}
