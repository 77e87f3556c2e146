//! What a multicast session needs beside its row, which speaks FOG's words: when it starts, how fast it may be, and which
//! group each storage node that serves it sends to.
//!
//! A group is leased by being in the record of a session that has not ended. There is nothing else to give back: the record
//! goes with the session, whoever crashes meanwhile. So that no group is leased twice, whoever leases one also writes
//! [`TURN`], and relies on nobody else having written it since.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::{BitRate, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// Keys of plans: this and the session's id in ten digits.
pub const PREFIX: &str = "/foghorn/v1/multicast/session/";
/// Written by whoever leases a group.
pub const TURN: &str = "/foghorn/v1/multicast/turn";

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

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionPlan {
    pub session: u32,
    pub start: Start,
    /// On the wire; `None` when nobody has set one for this session.
    pub max_rate: Option<BitRate>,
    /// Where each node sends to.
    pub leases: BTreeMap<StorageNodeId, SocketAddr>,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

impl SessionPlan {
    /// A plan in which everything follows from the tasks and the settings.
    #[must_use]
    pub fn new(session: u32) -> Self {
        Self { session, start: Start::default(), max_rate: None, leases: BTreeMap::new(), modified: 0 }
    }

    #[must_use]
    pub fn key_of(session: u32) -> String {
        format!("{PREFIX}{session:010}")
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = Record {
            v: VERSION,
            session: self.session,
            start: self.start,
            max_rate_bits: self.max_rate.map(BitRate::bits_per_second),
            leases: self.leases.clone(),
        };
        let value = serde_json::to_vec(&record).expect("numbers and addresses can be written as JSON");
        Op::Put { key: Self::key_of(self.session), value: Bytes::from(value), lease: None }
    }

    #[must_use]
    pub fn delete_op(session: u32) -> Op {
        Op::Delete { key: Self::key_of(session) }
    }

    /// Holds as long as nobody else has changed the plan since it was read.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        let key = Self::key_of(self.session);
        if self.modified == 0 { Compare::Absent(key) } else { Compare::ModifiedAt(key, self.modified) }
    }

    fn decode(value: &[u8], modified: Revision) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if record.v != VERSION {
            return Err(format!("plan of a multicast session of version {}, this program reads {VERSION}", record.v));
        }
        let Record { session, start, max_rate_bits, leases, .. } = record;
        Ok(Self { session, start, max_rate: max_rate_bits.map(BitRate::from_bits_per_second), leases, modified })
    }
}

/// Every plan, by session.
#[derive(Default)]
pub struct SessionPlans {
    plans: BTreeMap<u32, Arc<SessionPlan>>,
    turn: Option<Revision>,
}

impl SessionPlans {
    /// # Errors
    /// When the key or the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) if entry.key == TURN => self.turn = Some(entry.modified),
            Change::Put(entry) => {
                let plan = SessionPlan::decode(&entry.value, entry.modified)?;
                self.plans.insert(plan.session, Arc::new(plan));
            }
            Change::Delete { key, .. } if key == TURN => self.turn = None,
            Change::Delete { key, .. } => {
                let session = key.strip_prefix(PREFIX).and_then(|id| id.parse::<u32>().ok());
                self.plans.remove(&session.ok_or_else(|| format!("{key} names no multicast session"))?);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, session: u32) -> Option<&Arc<SessionPlan>> {
        self.plans.get(&session)
    }

    /// By session.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SessionPlan>> {
        self.plans.values()
    }

    /// Groups that some session has.
    #[must_use]
    pub fn used(&self) -> HashSet<IpAddr> {
        self.plans.values().flat_map(|plan| plan.leases.values()).map(SocketAddr::ip).collect()
    }

    /// Holds as long as nobody has leased a group since the tables were read.
    #[must_use]
    pub fn my_turn(&self) -> Compare {
        match self.turn {
            Some(revision) => Compare::ModifiedAt(TURN.to_owned(), revision),
            None => Compare::Absent(TURN.to_owned()),
        }
    }

    /// Makes worthless every other lease that was drafted from the same tables.
    #[must_use]
    pub fn take_turn(session: u32) -> Op {
        Op::Put { key: TURN.to_owned(), value: Bytes::from(session.to_string()), lease: None }
    }
}

const VERSION: u32 = 1;

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    session: u32,
    #[serde(default)]
    start: Start,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_rate_bits: Option<u64>,
    #[serde(default)]
    leases: BTreeMap<StorageNodeId, SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    #[test]
    fn a_plan_survives_storage() {
        let start =
            Start { receivers: Some(3), at: Some(Timestamp::from_millis(5)), max_wait: Some(Duration::from_secs(60)) };
        let mut plan = SessionPlan { start, max_rate: Some(BitRate::from_mbit(800)), ..SessionPlan::new(7) };
        plan.leases.insert(StorageNodeId::new(2).unwrap(), "239.255.64.1:63100".parse().unwrap());
        plan.leases.insert(StorageNodeId::new(12).unwrap(), "[ff18::1]:63100".parse().unwrap());
        let Op::Put { key, value, .. } = plan.put_op() else { panic!("a plan is put") };
        let entry = Entry { key: key.clone(), value, created: 9, modified: 9, lease: None };
        let mut plans = SessionPlans::default();
        plans.apply(&Change::Put(entry)).unwrap();
        assert_eq!(**plans.get(7).unwrap(), SessionPlan { modified: 9, ..plan });
        assert_eq!(plans.used().len(), 2);
        plans.apply(&Change::Delete { key, revision: 10 }).unwrap();
        assert!(plans.get(7).is_none() && plans.used().is_empty());
    }
}
