//! Wake-ups that wait to be sent: which hosts, since when, and which storage nodes have taken them.
//!
//! An agent is linked to one controller of several, and the one that is asked to wake a host need
//! not be that one. So the order is stored, every controller hands it to the agents it has, and it
//! goes after a few seconds.

use std::time::Duration;

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::shelf::Record;
use crate::store::Revision;

/// Keys of wake-ups: this, the time in milliseconds, and a random part.
const PREFIX: &str = "/foghorn/v1/wake/";

/// A wake-up is worth nothing later: whoever asked has looked at the host by then.
pub const LIVES: Duration = Duration::from_secs(10);

/// A wake-up of some hosts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wake {
    #[serde(skip)]
    pub(crate) key: String,
    pub hosts: Vec<u32>,
    /// What it is for, in words.
    pub why: String,
    pub at: Timestamp,
    /// Storage nodes whose agents have taken it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_by: Vec<u32>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Wake {
    /// A wake-up that nobody has taken yet.
    #[must_use]
    pub fn new(hosts: Vec<u32>, why: String, at: Timestamp) -> Self {
        let random = getrandom::u64().unwrap_or_default();
        let key = format!("{PREFIX}{:015}-{random:016x}", at.as_millis());
        Self {
            key,
            hosts,
            why,
            at,
            taken_by: Vec::new(),
            modified: 0,
        }
    }

    /// Names it among all wake-ups.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key
    }
}

impl Record for Wake {
    const WHAT: &'static str = "wake-up";
    type Id = String;
    type Body = Self;
    type Index = ();

    fn id(&self) -> String {
        self.key.clone()
    }

    fn key_of(key: &String) -> String {
        key.clone()
    }

    fn id_in(key: &str) -> Option<String> {
        key.starts_with(PREFIX).then(|| key.to_owned())
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(key: String, body: Self, modified: Revision) -> Self {
        Self {
            key,
            modified,
            ..body
        }
    }
}
