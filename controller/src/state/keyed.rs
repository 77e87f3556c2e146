//! Requests that were sent with an idempotency key: what was asked under a key, and how far it has come.
//!
//! The answer of a finished request is in its record but not in memory: it is needed once in a great while, and a day of
//! keys would keep as many answers. [`crate::app::idempotent`] reads it from the engine when a request is sent again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::ROOT;
use crate::store::{Change, Compare, Op, Revision};

/// How far a request has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Phase {
    /// Somebody is about to carry it out, until then.
    Claimed {
        until: Timestamp,
    },
    /// What it asked for has been stored; `made` is the id of the object it created.
    Applied {
        until: Timestamp,
        made: Option<u32>,
    },
    Done,
}

/// The answer as it was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptAnswer {
    pub status: u16,
    /// With its quotes, where there was one.
    pub etag: Option<String>,
    pub body: String,
}

/// One key of one user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyed {
    /// Where it is in the store: [`Keyed::place`].
    pub place: String,
    /// Hash of the request.
    pub fingerprint: String,
    /// Which attempt this is, so that none takes another's claim for its own.
    pub attempt: String,
    /// When the key was first used.
    pub at: Timestamp,
    pub phase: Phase,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    fingerprint: String,
    attempt: String,
    at: Timestamp,
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<KeptAnswer>,
}

const VERSION: u32 = 1;

impl Keyed {
    /// The key in the store of what `user` calls `name`. Names are hashed: they may be long, and they are somebody's.
    #[must_use]
    pub fn place(user: u32, name: &str) -> String {
        format!("{ROOT}idem/{user:010}/{}", blake3::hash(name.as_bytes()).to_hex())
    }

    #[must_use]
    pub fn put_op(&self, answer: Option<KeptAnswer>) -> Op {
        let record = Record {
            v: VERSION,
            fingerprint: self.fingerprint.clone(),
            attempt: self.attempt.clone(),
            at: self.at,
            phase: self.phase.clone(),
            answer,
        };
        let value = serde_json::to_vec(&record).expect("texts and numbers can be written as JSON");
        Op::Put { key: self.place.clone(), value: Bytes::from(value), lease: None }
    }

    /// Holds as long as nobody has changed the record.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        match self.modified {
            0 => Compare::Absent(self.place.clone()),
            modified => Compare::ModifiedAt(self.place.clone(), modified),
        }
    }

    fn decode(place: &str, value: &[u8], modified: Revision) -> Result<Self, String> {
        let record = decode(value)?;
        Ok(Self {
            place: place.to_owned(),
            fingerprint: record.fingerprint,
            attempt: record.attempt,
            at: record.at,
            phase: record.phase,
            modified,
        })
    }
}

fn decode(value: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if record.v == VERSION {
        Ok(record)
    } else {
        Err(format!("a keyed request of version {}, this program reads {VERSION}", record.v))
    }
}

/// The answer in a stored record.
///
/// # Errors
/// When the record cannot be read.
pub fn answer_in(value: &[u8]) -> Result<Option<KeptAnswer>, String> {
    Ok(decode(value)?.answer)
}

/// Every key that upkeep has not removed yet.
#[derive(Default)]
pub struct KeyedRequests {
    by_place: HashMap<String, Arc<Keyed>>,
    by_time: BTreeSet<(Timestamp, String)>,
}

impl KeyedRequests {
    /// # Errors
    /// When the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        let fresh = match change {
            Change::Put(entry) => Some(Keyed::decode(&entry.key, &entry.value, entry.modified)?),
            Change::Delete { .. } => None,
        };
        if let Some(old) = self.by_place.remove(change.key()) {
            self.by_time.remove(&(old.at, old.place.clone()));
        }
        if let Some(keyed) = fresh {
            self.by_time.insert((keyed.at, keyed.place.clone()));
            self.by_place.insert(keyed.place.clone(), Arc::new(keyed));
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, place: &str) -> Option<&Arc<Keyed>> {
        self.by_place.get(place)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Keys that were first used before this time, oldest first.
    pub fn used_before(&self, before: Timestamp) -> impl Iterator<Item = &Arc<Keyed>> {
        let old = self.by_time.iter().take_while(move |(at, _)| *at < before);
        old.filter_map(|(_, place)| self.by_place.get(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn put(keyed: &Keyed, answer: Option<KeptAnswer>) -> Change {
        let Op::Put { key, value, .. } = keyed.put_op(answer) else { panic!("a put") };
        Change::Put(Entry { key, value, created: 1, modified: 5, lease: None })
    }

    #[test]
    fn records_are_found_by_place_and_by_age() {
        let keyed = |name: &str, at| Keyed {
            place: Keyed::place(1, name),
            fingerprint: "f".to_owned(),
            attempt: "a".to_owned(),
            at: Timestamp::from_millis(at),
            phase: Phase::Done,
            modified: 5,
        };
        let mut all = KeyedRequests::default();
        let answer = KeptAnswer { status: 200, etag: None, body: "{}".to_owned() };
        let (old, new) = (keyed("old", 10), keyed("new", 20));
        let change = put(&old, Some(answer.clone()));
        all.apply(&change).unwrap();
        all.apply(&put(&new, None)).unwrap();
        let Change::Put(entry) = &change else { panic!("a put") };
        assert_eq!(answer_in(&entry.value), Ok(Some(answer)));
        assert_eq!(all.get(&old.place).map(|found| Keyed::clone(found)), Some(old.clone()));
        let before = |time| all.used_before(Timestamp::from_millis(time)).count();
        assert_eq!((before(10), before(11), before(21)), (0, 1, 2));
        all.apply(&Change::Delete { key: old.place.clone(), revision: 6 }).unwrap();
        assert_eq!((all.len(), all.used_before(Timestamp::from_millis(21)).count()), (1, 1));
        assert_ne!(Keyed::place(1, "x"), Keyed::place(2, "x"), "users do not share keys");
    }
}
