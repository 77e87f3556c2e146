//! What has become of a schedule: one record beside each scheduled task and each rule of power
//! management.
//!
//! FOG's rows say when something is to happen; this says up to when that has been dealt with. A
//! firing moves the mark in the transaction that creates the tasks, so it happens once however many
//! controllers see that it is due.

use std::collections::BTreeMap;

use foghorn_types::{ImageId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, number_in, numbered};
use crate::store::Revision;

/// Keys of marks: this and the id of the owner.
const TASK_PREFIX: &str = "/foghorn/v1/schedule/task/";
const POWER_PREFIX: &str = "/foghorn/v1/schedule/power/";

/// Whose mark it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// A `scheduledtask`.
    Task(u32),
    /// A `powermanagement`.
    Power(u32),
}

/// Up to when a schedule has been dealt with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    #[serde(skip, default = "nobody")]
    pub owner: Owner,
    /// Whatever was due up to this moment has happened, or never will.
    pub through: Timestamp,
    /// A firing for a group that takes several transactions and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<Firing>,
    /// How the last firing went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Firing>,
    /// In words; empty before the first one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// The owner is in the key.
fn nobody() -> Owner {
    Owner::Task(0)
}

/// One firing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Firing {
    /// The moment for which it was planned.
    pub due: Timestamp,
    /// Hosts up to this id have been seen to; 0 before the first.
    pub after_host: u32,
    /// Tasks created so far.
    pub tasks: u32,
    /// Multicast sessions that its tasks join, by image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<ImageId, SessionId>,
    /// A sentence about hosts that got no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left_out: String,
}

impl Firing {
    #[must_use]
    pub fn begin(due: Timestamp) -> Self {
        Self {
            due,
            after_host: 0,
            tasks: 0,
            sessions: BTreeMap::new(),
            left_out: String::new(),
        }
    }
}

impl Mark {
    /// A mark of a schedule that has never fired.
    #[must_use]
    pub fn new(owner: Owner, through: Timestamp) -> Self {
        Self {
            owner,
            through,
            firing: None,
            last: None,
            outcome: String::new(),
            modified: 0,
        }
    }
}

impl Record for Mark {
    const WHAT: &'static str = "mark of a schedule";
    type Id = Owner;
    type Body = Self;
    type Index = ();

    fn id(&self) -> Owner {
        self.owner
    }

    fn key_of(owner: &Owner) -> String {
        match owner {
            Owner::Task(id) => numbered(TASK_PREFIX, *id),
            Owner::Power(id) => numbered(POWER_PREFIX, *id),
        }
    }

    fn id_in(key: &str) -> Option<Owner> {
        number_in(TASK_PREFIX, key)
            .map(Owner::Task)
            .or_else(|| number_in(POWER_PREFIX, key).map(Owner::Power))
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(owner: Owner, body: Self, modified: Revision) -> Self {
        Self {
            owner,
            modified,
            ..body
        }
    }
}
