//! Wake-ups that wait to be sent: which hosts, since when, and which storage nodes have taken them.
//!
//! An agent is linked to one controller of several, and the one that is asked to wake a host need not be that one. So the
//! order is stored, every controller hands it to the agents it has, and it goes after a few seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// Keys of wake-ups: this, the time in milliseconds, and a random part.
pub const PREFIX: &str = "/foghorn/v1/wake/";

/// A wake-up is worth nothing later: whoever asked has looked at the host by then.
pub const LIVES: Duration = Duration::from_secs(10);

/// A wake-up of some hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wake {
    pub(crate) key: String,
    pub hosts: Vec<u32>,
    /// What it is for, in words.
    pub why: String,
    pub at: Timestamp,
    /// Storage nodes whose agents have taken it.
    pub taken_by: Vec<u32>,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

impl Wake {
    /// A wake-up that nobody has taken yet.
    #[must_use]
    pub fn new(hosts: Vec<u32>, why: String, at: Timestamp) -> Self {
        let random = getrandom::u64().unwrap_or_default();
        let key = format!("{PREFIX}{:015}-{random:016x}", at.as_millis());
        Self { key, hosts, why, at, taken_by: Vec::new(), modified: 0 }
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = Record {
            v: VERSION,
            hosts: self.hosts.clone(),
            why: self.why.clone(),
            at: self.at,
            taken_by: self.taken_by.clone(),
        };
        let value = serde_json::to_vec(&record).expect("numbers and texts can be written as JSON");
        Op::Put { key: self.key.clone(), value: Bytes::from(value), lease: None }
    }

    #[must_use]
    pub fn delete_op(&self) -> Op {
        Op::Delete { key: self.key.clone() }
    }

    /// Holds as long as nobody else has changed it since it was read.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        Compare::ModifiedAt(self.key.clone(), self.modified)
    }

    /// Names it among all wake-ups.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key
    }
}

/// Every wake-up that waits, oldest first.
#[derive(Default)]
pub struct Wakes {
    wakes: BTreeMap<String, Arc<Wake>>,
}

impl Wakes {
    /// # Errors
    /// When the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let record: Record = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
                if record.v != VERSION {
                    return Err(format!("wake-up of version {}, this program reads {VERSION}", record.v));
                }
                let Record { hosts, why, at, taken_by, .. } = record;
                let wake = Wake { key: entry.key.clone(), hosts, why, at, taken_by, modified: entry.modified };
                self.wakes.insert(entry.key.clone(), Arc::new(wake));
            }
            Change::Delete { key, .. } => {
                self.wakes.remove(key);
            }
        }
        Ok(())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Wake>> {
        self.wakes.values()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Wake>> {
        self.wakes.get(name)
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    hosts: Vec<u32>,
    why: String,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taken_by: Vec<u32>,
}
