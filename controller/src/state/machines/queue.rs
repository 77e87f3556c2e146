//! Event queues: what happens to the devices of a factory, told to programs. And their messages.
//!
//! A message is written in the transaction in which its event happens, one for each queue, and is
//! there until somebody has taken it, or for a bounded time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foghorn_types::{StorageGroupId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::notify::{Claim, Web};
use crate::state::shelf::{Index, Record, Shelf, number_in, numbered};
use crate::store::Revision;

/// Keys of queues: this and the number.
const PREFIX: &str = "/foghorn/v1/event-queue/";
/// Keys of messages: this, the number of the queue, and an id that sorts by time.
const MESSAGES: &str = "/foghorn/v1/event-message/";
/// Under which the numbers of queues are counted.
pub const SEQUENCE: &str = "eventqueue";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventQueue {
    #[serde(skip)]
    pub id: u32,
    pub factory: StorageGroupId,
    /// Unique in the factory.
    pub label: String,
    /// Where messages are sent; `None`: they are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Web>,
    /// Number of the user who made it.
    pub by: u32,
    pub created: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for EventQueue {
    const WHAT: &'static str = "event queue";
    type Id = u32;
    type Body = Self;
    type Index = ();

    fn id(&self) -> u32 {
        self.id
    }

    fn key_of(id: &u32) -> String {
        numbered(PREFIX, *id)
    }

    fn id_in(key: &str) -> Option<u32> {
        number_in(PREFIX, key)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(id: u32, body: Self, modified: Revision) -> Self {
        Self {
            id,
            modified,
            ..body
        }
    }
}

impl Shelf<EventQueue> {
    /// Queues of the factory, by number.
    pub fn of_factory(&self, factory: StorageGroupId) -> impl Iterator<Item = &Arc<EventQueue>> {
        self.iter().filter(move |queue| queue.factory == factory)
    }

    /// The queue of the factory with this label.
    #[must_use]
    pub fn labelled(&self, factory: StorageGroupId, label: &str) -> Option<&Arc<EventQueue>> {
        self.of_factory(factory).find(|queue| queue.label == label)
    }
}

/// What an event is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    DeviceFirstSeen,
    DeviceLastSeen,
    DeviceConfigApplied,
    DeviceOtaStarted,
    DeviceOtaCompleted,
    DeviceOtaAppsStateChanged,
}

impl EventKind {
    /// The word of the dialect.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceFirstSeen => "DEVICE_FIRST_SEEN",
            Self::DeviceLastSeen => "DEVICE_LAST_SEEN",
            Self::DeviceConfigApplied => "DEVICE_CONFIG_APPLIED",
            Self::DeviceOtaStarted => "DEVICE_OTA_STARTED",
            Self::DeviceOtaCompleted => "DEVICE_OTA_COMPLETED",
            Self::DeviceOtaAppsStateChanged => "DEVICE_OTA_APPS_STATE_CHANGED",
        }
    }
}

/// An event that one queue is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueueMessage {
    #[serde(skip)]
    pub queue: u32,
    /// The same in every attempt: whoever gets it twice can tell.
    #[serde(skip)]
    pub id: String,
    pub kind: EventKind,
    pub at: Timestamp,
    /// What happened, as JSON.
    pub data: String,
    /// Attempts that have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// Why the last one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is to be sent, or may be fetched.
    pub due: Timestamp,
    /// Somebody is sending it, or has fetched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl QueueMessage {
    /// From when on somebody may begin to send it, or fetch it.
    #[must_use]
    pub fn is_free_at(&self) -> Timestamp {
        self.claim
            .map_or(self.due, |claim| self.due.max(claim.until))
    }

    /// Without what every message has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + self.error.as_ref().map_or(0, String::len)
    }
}

impl Record for QueueMessage {
    const WHAT: &'static str = "message of an event queue";
    type Id = (u32, String);
    type Body = Self;
    type Index = Waiting;

    fn id(&self) -> (u32, String) {
        (self.queue, self.id.clone())
    }

    fn key_of((queue, id): &(u32, String)) -> String {
        format!("{MESSAGES}{queue:010}/{id}")
    }

    fn id_in(key: &str) -> Option<(u32, String)> {
        let (queue, id) = key.strip_prefix(MESSAGES)?.split_once('/')?;
        Some((queue.parse().ok()?, id.to_owned()))
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body((queue, id): (u32, String), body: Self, modified: Revision) -> Self {
        Self {
            queue,
            id,
            modified,
            ..body
        }
    }
}

/// How much waits in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    pub messages: usize,
    pub bytes: usize,
}

/// Messages by when they are free, and how much they are.
#[derive(Default)]
pub struct Waiting {
    by_time: BTreeSet<(u32, Timestamp, String)>,
    loads: HashMap<u32, Load>,
}

impl Waiting {
    fn place(message: &QueueMessage) -> (u32, Timestamp, String) {
        (message.queue, message.is_free_at(), message.id.clone())
    }
}

impl Index<QueueMessage> for Waiting {
    fn add(&mut self, message: &QueueMessage) {
        self.by_time.insert(Self::place(message));
        let load = self.loads.entry(message.queue).or_default();
        load.messages += 1;
        load.bytes += message.bytes();
    }

    fn remove(&mut self, message: &QueueMessage) {
        self.by_time.remove(&Self::place(message));
        if let Some(load) = self.loads.get_mut(&message.queue) {
            load.messages -= 1;
            load.bytes -= message.bytes();
            if load.messages == 0 {
                self.loads.remove(&message.queue);
            }
        }
    }
}

impl Shelf<QueueMessage> {
    /// Messages of a queue, the oldest first.
    pub fn of_queue(&self, queue: u32) -> impl Iterator<Item = &Arc<QueueMessage>> {
        self.range((queue, String::new())..(queue.saturating_add(1), String::new()))
    }

    /// Messages of a queue that are free, those first that have been for longest.
    pub fn free(&self, queue: u32, now: Timestamp) -> impl Iterator<Item = &Arc<QueueMessage>> {
        let begin = (queue, Timestamp::from_millis(i64::MIN), String::new());
        let end = Timestamp::from_millis(now.as_millis().saturating_add(1));
        let free = self
            .index()
            .by_time
            .range(begin..(queue, end, String::new()));
        free.filter_map(move |(queue, _, id)| self.get(&(*queue, id.clone())))
    }

    #[must_use]
    pub fn load(&self, queue: u32) -> Load {
        self.index().loads.get(&queue).copied().unwrap_or_default()
    }

    /// Bytes of the messages of all queues.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.index().loads.values().map(|load| load.bytes).sum()
    }

    /// The numbers of all queues that have messages, in no order.
    pub fn queues(&self) -> impl Iterator<Item = u32> {
        self.index().loads.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Op};

    fn message(queue: u32, id: &str, due: i64) -> QueueMessage {
        QueueMessage {
            queue,
            id: id.to_owned(),
            kind: EventKind::DeviceFirstSeen,
            at: Timestamp::from_millis(1),
            data: "{}".to_owned(),
            failed: 0,
            error: None,
            due: Timestamp::from_millis(due),
            claim: None,
            modified: 0,
        }
    }

    fn put(shelf: &mut Shelf<QueueMessage>, message: &QueueMessage) {
        let Op::Put { key, value } = message.put_op() else {
            panic!("not a put")
        };
        let entry = Entry {
            key,
            value,
            created: 1,
            modified: 5,
        };
        shelf.apply(&Change::Put(entry)).unwrap();
    }

    #[test]
    fn messages_are_found_when_they_are_free() {
        let mut shelf = Shelf::<QueueMessage>::default();
        let claimed = QueueMessage {
            claim: Some(Claim {
                by: 7,
                until: Timestamp::from_millis(50),
            }),
            ..message(1, "c", 10)
        };
        for message in [
            message(1, "b", 10),
            message(1, "a", 20),
            claimed.clone(),
            message(2, "d", 5),
        ] {
            put(&mut shelf, &message);
        }
        let free = |shelf: &Shelf<QueueMessage>, queue, now| {
            let free = shelf.free(queue, Timestamp::from_millis(now));
            free.map(|message| message.id.clone()).collect::<Vec<_>>()
        };
        assert!(free(&shelf, 1, 9).is_empty());
        assert_eq!(free(&shelf, 1, 10), ["b"]);
        assert_eq!(free(&shelf, 1, 49), ["b", "a"]);
        assert_eq!(free(&shelf, 1, 50), ["b", "a", "c"]);
        assert_eq!(free(&shelf, 2, 50), ["d"]);
        let of_queue = shelf.of_queue(1).map(|message| message.id.as_str());
        assert_eq!(of_queue.collect::<Vec<_>>(), ["a", "b", "c"]);

        // Put off: it is where it is now, and counted once.
        let later = QueueMessage {
            error: Some("why".to_owned()),
            claim: None,
            due: Timestamp::from_millis(90),
            ..claimed.clone()
        };
        put(&mut shelf, &later);
        assert_eq!(free(&shelf, 1, 50), ["b", "a"]);
        let load = Load {
            messages: 3,
            bytes: 9,
        };
        assert_eq!((shelf.load(1), shelf.bytes()), (load, 11));
        for id in ["a", "b", "c"] {
            let key = QueueMessage::key_of(&(1, id.to_owned()));
            shelf.apply(&Change::Delete { key, revision: 9 }).unwrap();
        }
        assert_eq!(shelf.load(1), Load::default());
        assert_eq!(shelf.queues().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_words_are_those_that_are_stored() {
        for kind in [
            EventKind::DeviceFirstSeen,
            EventKind::DeviceLastSeen,
            EventKind::DeviceConfigApplied,
            EventKind::DeviceOtaStarted,
            EventKind::DeviceOtaCompleted,
            EventKind::DeviceOtaAppsStateChanged,
        ] {
            let stored = serde_json::to_value(kind).unwrap();
            assert_eq!(stored, kind.as_str());
        }
    }
}
