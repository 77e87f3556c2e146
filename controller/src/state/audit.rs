//! The audit log: one entry for each transaction that somebody asked for, stored with it.
//!
//! Entries lie under a prefix of their own, outside the range that the tables follow: a log of
//! years costs neither memory nor time at a start. It is the one thing that is read from the
//! engine, in pages. Keys begin with the time, so that a part of the log is a range, and end with
//! random bits, so that no two writers want the same key.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::actor::Actor;
use super::class::Class;
use super::field::Field;
use super::key::{self, Place};
use super::tables::Tables;
use crate::store::{Compare, Entry, Op};

/// Keys of entries: this, the time in milliseconds as sixteen digits, a hyphen, 64 random bits.
pub const PREFIX: &str = "/foghorn/audit/v1/";
/// Objects that one entry names; of more it tells how many.
const MOST_CHANGES: usize = 64;
const VERSION: u32 = 1;

/// One change as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditEntry {
    v: u32,
    pub at: Timestamp,
    pub user: u32,
    pub name: String,
    /// Address that asked.
    pub from: String,
    pub method: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    pub changes: Vec<AuditChange>,
    /// Changes beside those that are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// One object in an entry. Never a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditChange {
    pub class: String,
    /// Number of the object, or the name of a setting; empty for what has neither.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    pub what: What,
    /// Names of the fields that changed; for a new object those that are not empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Created,
    Changed,
    Deleted,
    /// The whole state was given out.
    Exported,
    /// The whole state was replaced.
    Imported,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Which fields a draft changes, by key of the object.
#[derive(Default)]
pub(crate) struct Notes {
    wanted: bool,
    fields: HashMap<String, Vec<&'static str>>,
}

impl Notes {
    /// Whether anybody will read them: the system's own changes are not in the log.
    pub(crate) fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Notes how an object differs from what it was, or from an empty one when it is new.
    pub(crate) fn changed<C: Class>(&mut self, key: &str, before: &C, after: &C) {
        if self.wanted {
            let differs =
                |field: &&Field<C>| !field.is_id() && field.show(before) != field.show(after);
            let fields = C::FIELDS
                .iter()
                .filter(differs)
                .map(|field| field.name)
                .collect();
            self.fields.insert(key.to_owned(), fields);
        }
    }
}

/// The operation that stores the entry for a transaction of these operations and compares; `None` when
/// no operation is worth one.
pub(crate) fn put_op<'o>(
    actor: &Actor,
    ops: impl Iterator<Item = &'o Op>,
    compares: &BTreeMap<String, Compare>,
    notes: &Notes,
    tables: &Tables,
    now: Timestamp,
) -> Option<Op> {
    let (mut changes, mut more) = (Vec::new(), 0);
    for op in ops {
        let Some(change) = change(op, compares, notes, tables) else {
            continue;
        };
        if changes.len() < MOST_CHANGES {
            changes.push(change)
        } else {
            more += 1
        }
    }
    if changes.is_empty() {
        return None;
    }
    Some(put(actor, changes, more, now))
}

/// The operation that stores that somebody has taken or replaced the whole state.
pub(crate) fn of_whole_state(actor: &Actor, what: What, now: Timestamp) -> Op {
    let change = AuditChange {
        class: "state".to_owned(),
        id: String::new(),
        what,
        fields: Vec::new(),
    };
    put(actor, vec![change], 0, now)
}

fn put(actor: &Actor, changes: Vec<AuditChange>, more: usize, now: Timestamp) -> Op {
    let entry = AuditEntry {
        v: VERSION,
        at: now,
        user: actor.user,
        name: actor.name.clone(),
        from: actor.from.to_string(),
        method: actor.method.clone(),
        path: actor.path.clone(),
        request: actor.request.clone(),
        idempotency_key: actor.idempotency_key.clone(),
        changes,
        more,
    };
    let value = serde_json::to_vec(&entry).expect("texts and numbers can be written as JSON");
    Op::Put {
        key: new_key(now),
        value: Bytes::from(value),
    }
}

fn change(
    op: &Op,
    compares: &BTreeMap<String, Compare>,
    notes: &Notes,
    tables: &Tables,
) -> Option<AuditChange> {
    let (key, put) = match op {
        Op::Put { key, .. } => (key, true),
        Op::Delete { key } => (key, false),
    };
    let what = match compares.get(key) {
        _ if !put => What::Deleted,
        Some(Compare::Absent(_)) => What::Created,
        _ => What::Changed,
    };
    let plain = |class: &str, id: &str| {
        Some(AuditChange {
            class: class.to_owned(),
            id: id.to_owned(),
            what,
            fields: Vec::new(),
        })
    };
    match key::parse(key).ok()? {
        Place::Object { class, id } => Some(AuditChange {
            class: class.to_owned(),
            id: id.to_string(),
            what: if put && !tables.has_object(class, id) {
                What::Created
            } else {
                what
            },
            fields: notes
                .fields
                .get(key)
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect(),
        }),
        Place::Setting { name } => plain("setting", name),
        // The key of a token is its hash, which says nothing to anybody.
        Place::Other("token") => plain("token", ""),
        Place::Other(
            kind @ ("node" | "content" | "device-group" | "target-tags" | "ring-policy"
            | "factory-token" | "host-token" | "event-queue"),
        ) => plain(
            kind,
            key.rsplit('/')
                .next()
                .unwrap_or_default()
                .trim_start_matches('0'),
        ),
        // Configurations have a path, and a UUID may begin with zeros.
        Place::Other(kind @ ("device" | "device-denied" | "device-config" | "identity")) => {
            plain(kind, key.splitn(5, '/').nth(4).unwrap_or_default())
        }
        // Guards, counters and runs go with the objects that are listed.
        Place::Unique | Place::Sequence { .. } | Place::Announcement { .. } | Place::Other(_) => {
            None
        }
    }
}

fn new_key(now: Timestamp) -> String {
    let mut random = [0_u8; 8];
    // Without random bits two entries of one millisecond might meet; the store would refuse the
    // second, which is tried again.
    let _best_effort = getrandom::fill(&mut random);
    format!("{}-{:016x}", key_at(now), u64::from_le_bytes(random))
}

/// Where entries of this time begin.
#[must_use]
pub fn key_at(time: Timestamp) -> String {
    format!("{PREFIX}{:016}", time.as_millis().max(0))
}

/// # Errors
/// A text for the log when the record was not written by a version we know.
pub fn decode(entry: &Entry) -> Result<AuditEntry, String> {
    let decoded: AuditEntry =
        serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
    if decoded.v != VERSION {
        return Err(format!(
            "an audit entry of version {}, this program reads {VERSION}",
            decoded.v
        ));
    }
    Ok(decoded)
}
