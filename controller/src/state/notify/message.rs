//! Messages, and how often a target gets one.

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, of_target};
use crate::state::shelf::{Record, number_in, numbered};
use crate::store::Revision;

const PREFIX: &str = "/foghorn/v1/notify-message/";
const PACE_PREFIX: &str = "/foghorn/v1/notify-pace/";

/// One message to one target: an event, or a digest of several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    #[serde(skip)]
    pub target: u32,
    /// The same in every attempt: a receiver that gets it twice can tell.
    #[serde(skip)]
    pub id: String,
    pub created: Timestamp,
    pub events: Vec<Event>,
    /// Attempts that have failed since it was made, or since somebody sent it again.
    #[serde(default)]
    pub failed: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub fate: Fate,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// What is to become of a message, or has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Fate {
    Waiting {
        /// When it is to be sent.
        due: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<Claim>,
    },
    Delivered {
        at: Timestamp,
    },
    /// Nobody tries again by himself.
    Dead {
        at: Timestamp,
    },
}

/// A controller is sending the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Random, new for each start of a controller.
    pub by: u64,
    /// Then another one may try: the first one has ended.
    pub until: Timestamp,
}

impl Message {
    /// Whether a controller may begin to send it.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        match &self.fate {
            Fate::Waiting { due, claim } => {
                *due <= now && claim.is_none_or(|claim| claim.until <= now)
            }
            Fate::Delivered { .. } | Fate::Dead { .. } => false,
        }
    }
}

impl Record for Message {
    const WHAT: &'static str = "message";

    of_target!(PREFIX);
}

/// How far a target has used up the messages that it may get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pace {
    #[serde(skip)]
    pub target: u32,
    /// Until then all messages so far are paid for by time.
    pub paid: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for Pace {
    const WHAT: &'static str = "pace of a target";
    type Id = u32;
    type Body = Self;
    type Index = ();

    fn id(&self) -> u32 {
        self.target
    }

    fn key_of(target: &u32) -> String {
        numbered(PACE_PREFIX, *target)
    }

    fn id_in(key: &str) -> Option<u32> {
        number_in(PACE_PREFIX, key)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        *self
    }

    fn from_body(target: u32, body: Self, modified: Revision) -> Self {
        Self {
            target,
            modified,
            ..body
        }
    }
}
