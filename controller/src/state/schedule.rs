//! What has become of a schedule: one record beside each scheduled task and each rule of power management.
//!
//! FOG's rows say when something is to happen; this says up to when that has been dealt with. A firing moves the mark in the
//! transaction that creates the tasks, so it happens once however many controllers see that it is due.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// Keys of marks: this, the kind of owner, and its id in ten digits.
pub const PREFIX: &str = "/foghorn/v1/schedule/";

/// Whose mark it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// A `scheduledtask`.
    Task(u32),
    /// A `powermanagement`.
    Power(u32),
}

/// Up to when a schedule has been dealt with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    pub owner: Owner,
    /// Whatever was due up to this moment has happened, or never will.
    pub through: Timestamp,
    /// A firing for a group that takes several transactions and has not ended.
    pub firing: Option<Firing>,
    /// How the last firing went.
    pub last: Option<Firing>,
    /// In words; empty before the first one.
    pub outcome: String,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

/// One firing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Firing {
    /// The moment for which it was planned.
    pub due: Timestamp,
    /// Hosts up to this id have been seen to.
    pub after_host: u32,
    /// Tasks created so far.
    pub tasks: u32,
    /// Multicast sessions that its tasks join, by image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<u32, u32>,
}

impl Firing {
    #[must_use]
    pub fn begin(due: Timestamp) -> Self {
        Self { due, after_host: 0, tasks: 0, sessions: BTreeMap::new() }
    }
}

impl Owner {
    fn key(self) -> String {
        match self {
            Self::Task(id) => format!("{PREFIX}task/{id:010}"),
            Self::Power(id) => format!("{PREFIX}power/{id:010}"),
        }
    }

    fn of_key(key: &str) -> Option<Self> {
        let (kind, id) = key.strip_prefix(PREFIX)?.split_once('/')?;
        let id = id.parse().ok()?;
        match kind {
            "task" => Some(Self::Task(id)),
            "power" => Some(Self::Power(id)),
            _ => None,
        }
    }

    /// Forgets the mark, with its owner.
    #[must_use]
    pub fn delete_op(self) -> Op {
        Op::Delete { key: self.key() }
    }
}

impl Mark {
    /// A mark of a schedule that has never fired.
    #[must_use]
    pub fn new(owner: Owner, through: Timestamp) -> Self {
        Self { owner, through, firing: None, last: None, outcome: String::new(), modified: 0 }
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = Record {
            v: VERSION,
            through: self.through,
            firing: self.firing.clone(),
            last: self.last.clone(),
            outcome: self.outcome.clone(),
        };
        let value = serde_json::to_vec(&record).expect("numbers and a text can be written as JSON");
        Op::Put { key: self.owner.key(), value: Bytes::from(value), lease: None }
    }

    /// Holds as long as nobody else has changed the mark since it was read.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        match self.modified {
            0 => Compare::Absent(self.owner.key()),
            modified => Compare::ModifiedAt(self.owner.key(), modified),
        }
    }
}

/// Every mark.
#[derive(Default)]
pub struct Marks {
    marks: HashMap<Owner, Arc<Mark>>,
}

impl Marks {
    /// # Errors
    /// When the key or the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        let key = match change {
            Change::Put(entry) => &entry.key,
            Change::Delete { key, .. } => key,
        };
        let owner = Owner::of_key(key).ok_or_else(|| format!("{key} is no mark of a schedule"))?;
        match change {
            Change::Put(entry) => {
                let record: Record = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
                if record.v != VERSION {
                    return Err(format!("schedule record of version {}, this program reads {VERSION}", record.v));
                }
                let Record { through, firing, last, outcome, .. } = record;
                let mark = Mark { owner, through, firing, last, outcome, modified: entry.modified };
                self.marks.insert(owner, Arc::new(mark));
            }
            Change::Delete { .. } => {
                self.marks.remove(&owner);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, owner: Owner) -> Option<&Arc<Mark>> {
        self.marks.get(&owner)
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    through: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    firing: Option<Firing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Firing>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    outcome: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    #[test]
    fn marks_are_read_back_and_forgotten() {
        let mut mark = Mark::new(Owner::Power(7), Timestamp::from_millis(5));
        mark.firing = Some(Firing { after_host: 3, ..Firing::begin(Timestamp::from_millis(9)) });
        mark.outcome = "2 tasks".to_owned();
        mark.modified = 4;
        let Op::Put { key, value, .. } = mark.put_op() else { panic!("not a put") };
        let mut marks = Marks::default();
        marks.apply(&Change::Put(Entry { key: key.clone(), value, created: 4, modified: 4, lease: None })).unwrap();
        assert_eq!(marks.get(Owner::Power(7)).map(|found| Mark::clone(found)), Some(mark));
        assert!(marks.get(Owner::Task(7)).is_none());
        marks.apply(&Change::Delete { key, revision: 5 }).unwrap();
        assert!(marks.get(Owner::Power(7)).is_none());
    }
}
