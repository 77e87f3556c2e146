//! Requests that were sent with an idempotency key: what was asked under a key, and how far it has
//! come.
//!
//! The answer of a finished request is in its record but not in memory: it is needed once in a
//! great while, and a day of keys would keep as many answers. [`crate::app::idempotent`] reads it
//! from the engine when a request is sent again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::shelf::{Index, Record, Shelf, decode};
use crate::store::Revision;

/// Keys of requests: this, the user, and the hash of what they call the request.
const PREFIX: &str = "/foghorn/v1/idem/";

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

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// The answer as it was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptAnswer {
    pub status: u16,
    /// With its quotes, where there was one.
    pub etag: Option<String>,
    /// The explanation beside the body, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub body: String,
}

/// One key of one user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Keyed {
    /// Where it is in the store: [`Keyed::place`].
    #[serde(skip)]
    pub place: String,
    /// Hash of the request.
    pub fingerprint: String,
    /// Which attempt this is, so that none takes another's claim for its own.
    pub attempt: String,
    /// When the key was first used.
    pub at: Timestamp,
    pub phase: Phase,
    /// Bytes of the answer; 0 without one, and for records of earlier versions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kept: u64,
    /// Written with a finished request and never read into memory: see the module.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub answer: Option<KeptAnswer>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Keyed {
    /// The key in the store of what `user` calls `name`. Names are hashed: they may be long, and
    /// they are somebody's.
    #[must_use]
    pub fn place(user: u32, name: &str) -> String {
        format!(
            "{PREFIX}{user:010}/{}",
            blake3::hash(name.as_bytes()).to_hex()
        )
    }
}

/// What a record takes without its answer, generously.
const RECORD: u64 = 512;

/// The user in the place of a record.
fn user_in(place: &str) -> u32 {
    let digits = place.strip_prefix(PREFIX).and_then(|rest| rest.get(..10));
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

impl Record for Keyed {
    const WHAT: &'static str = "request with an idempotency key";
    type Id = String;
    type Body = Self;
    type Index = ByTime;

    fn id(&self) -> String {
        self.place.clone()
    }

    fn key_of(place: &String) -> String {
        place.clone()
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

    fn from_body(place: String, body: Self, modified: Revision) -> Self {
        Self {
            place,
            modified,
            ..body
        }
    }
}

#[derive(Deserialize)]
struct AnswerOnly {
    #[serde(default)]
    answer: Option<KeptAnswer>,
}

/// The answer in a stored record.
///
/// # Errors
/// When the record cannot be read.
pub fn answer_in(value: &[u8]) -> Result<Option<KeptAnswer>, String> {
    decode::<AnswerOnly>(Keyed::WHAT, value).map(|record| record.answer)
}

/// Keys by the time at which they were first used, and what those of each user take.
#[derive(Default)]
pub struct ByTime {
    times: BTreeSet<(Timestamp, String)>,
    taken: HashMap<u32, Taken>,
}

/// What the keys of a user take in the store.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Taken {
    keys: u64,
    /// Bytes of the answers.
    pub answers: u64,
}

impl Taken {
    /// Bytes of all.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.keys * RECORD + self.answers
    }
}

impl Index<Keyed> for ByTime {
    fn add(&mut self, keyed: &Keyed) {
        self.times.insert((keyed.at, keyed.place.clone()));
        let taken = self.taken.entry(user_in(&keyed.place)).or_default();
        taken.keys += 1;
        taken.answers += keyed.kept;
    }

    fn remove(&mut self, keyed: &Keyed) {
        self.times.remove(&(keyed.at, keyed.place.clone()));
        let user = user_in(&keyed.place);
        if let Some(taken) = self.taken.get_mut(&user) {
            taken.keys = taken.keys.saturating_sub(1);
            taken.answers = taken.answers.saturating_sub(keyed.kept);
            if taken.keys == 0 {
                self.taken.remove(&user);
            }
        }
    }
}

/// Keys stay until upkeep removes them.
impl Shelf<Keyed> {
    /// Keys that were first used before this time, oldest first.
    pub fn used_before(&self, before: Timestamp) -> impl Iterator<Item = &Arc<Keyed>> {
        let old = self
            .index()
            .times
            .iter()
            .take_while(move |(at, _)| *at < before);
        old.filter_map(|(_, place)| self.get(place))
    }

    /// What the keys of the user to whom this one belongs take.
    pub fn taken_with(&self, place: &str) -> Taken {
        let taken = self.index().taken.get(&user_in(place));
        taken.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Op};

    fn put(keyed: &Keyed, answer: Option<KeptAnswer>) -> Change {
        let Op::Put { key, value, .. } = Keyed {
            answer,
            ..keyed.clone()
        }
        .put_op() else {
            panic!("a put")
        };
        Change::Put(Entry {
            key,
            value,
            created: 1,
            modified: 5,
        })
    }

    #[test]
    fn records_are_found_by_place_and_by_age() {
        let keyed = |name: &str, at| Keyed {
            place: Keyed::place(1, name),
            fingerprint: "f".to_owned(),
            attempt: "a".to_owned(),
            at: Timestamp::from_millis(at),
            phase: Phase::Done,
            kept: 100,
            answer: None,
            modified: 5,
        };
        let mut all = Shelf::<Keyed>::default();
        let answer = KeptAnswer {
            status: 200,
            etag: None,
            problem: None,
            body: "{}".to_owned(),
        };
        let (old, new) = (keyed("old", 10), keyed("new", 20));
        let change = put(&old, Some(answer.clone()));
        all.apply(&change).unwrap();
        all.apply(&put(&new, None)).unwrap();
        let Change::Put(entry) = &change else {
            panic!("a put")
        };
        assert_eq!(answer_in(&entry.value), Ok(Some(answer)));
        assert_eq!(
            all.get(&old.place).map(|found| Keyed::clone(found)),
            Some(old.clone())
        );
        let taken = Taken {
            keys: 2,
            answers: 200,
        };
        assert_eq!(all.taken_with(&old.place), taken);
        assert_eq!(all.taken_with(&Keyed::place(2, "x")), Taken::default());
        let before = |time| all.used_before(Timestamp::from_millis(time)).count();
        assert_eq!((before(10), before(11), before(21)), (0, 1, 2));
        all.apply(&Change::Delete {
            key: old.place.clone(),
            revision: 6,
        })
        .unwrap();
        assert_eq!(
            (
                all.len(),
                all.used_before(Timestamp::from_millis(21)).count()
            ),
            (1, 1)
        );
        assert_eq!(all.taken_with(&new.place).answers, 100);
        assert_ne!(
            Keyed::place(1, "x"),
            Keyed::place(2, "x"),
            "users do not share keys"
        );
    }
}
