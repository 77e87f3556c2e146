//! What happened, as it is told.

use foghorn_types::{NoticeKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::of_target;
use crate::state::shelf::Record;
use crate::store::Revision;

const PREFIX: &str = "/foghorn/v1/notify-pending/";

/// Something that happened. The same for every target that is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Names it, for receivers that get it twice.
    pub id: String,
    pub kind: NoticeKind,
    pub at: Timestamp,
    /// One sentence for people.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Named>,
    /// Why, as the task or node said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of an order for several hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Tasks of such an order that failed; not all, when they are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

/// An object as it was called when the event happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Named {
    pub id: u32,
    pub name: String,
}

/// How the tasks of an order ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    pub total: u32,
    pub complete: u32,
    pub failed: u32,
    pub cancelled: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub task: u32,
    pub host: String,
    pub reason: String,
}

impl Event {
    #[must_use]
    pub fn new(kind: NoticeKind, at: Timestamp, text: String) -> Self {
        Self {
            id: super::new_id(at),
            kind,
            at,
            text,
            task: None,
            host: None,
            image: None,
            node: None,
            reason: None,
            counts: None,
            failures: Vec::new(),
        }
    }
}

/// An event that a target is to be told, and that is in no message yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pending {
    #[serde(skip)]
    pub target: u32,
    /// That of the event.
    #[serde(skip)]
    pub id: String,
    pub event: Event,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for Pending {
    const WHAT: &'static str = "event that is to be told";

    of_target!(PREFIX);
}
