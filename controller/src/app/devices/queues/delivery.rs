//! How messages are taken: claimed by a controller that sends them, or leased by a program that fetches
//! them, until they have been taken. What nobody takes goes in the end.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::Timestamp;

use super::events::{MOST_BYTES, MOST_MESSAGES};
use crate::app::notices::pace::Patience;
use crate::app::one_time;
use crate::state::machines::queue::QueueMessage;
use crate::state::notify::Claim;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables};

/// Messages of one queue that are sent at once.
pub const AT_ONCE: usize = 16;
/// Messages that are leased or acknowledged at once: a transaction of etcd takes 128 operations.
pub const MOST_LEASED: usize = 100;
/// How long a message waits for somebody to take it.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Messages that are removed in one transaction.
const STEP: usize = 100;
/// Bytes of messages that are claimed in one transaction, which takes 1 MiB: JSON in JSON may take twice
/// as much.
const STEP_BYTES: usize = 400 << 10;

/// Queue and id of a message.
pub type MessageId = (u32, String);

/// By what a program says that it has a message: the message, and the lease under which it got it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AckId {
    id: String,
    lease: u64,
}

/// A text that is no [`AckId`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not an ack-id")]
pub struct BadAckId(String);

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.id, self.lease)
    }
}

impl FromStr for AckId {
    type Err = BadAckId;

    fn from_str(text: &str) -> Result<Self, BadAckId> {
        let parts = text.rsplit_once('.');
        let read = parts.and_then(|(id, lease)| {
            let lease = u64::from_str_radix(lease, 16).ok()?;
            Some((id.to_owned(), lease))
        });
        let (id, lease) = read.ok_or_else(|| BadAckId(text.to_owned()))?;
        Ok(Self { id, lease })
    }
}

impl AckId {
    /// That of a message which has been leased.
    #[must_use]
    pub fn of(message: &QueueMessage) -> Option<Self> {
        let lease = message.claim?.by;
        Some(Self {
            id: message.id.clone(),
            lease,
        })
    }
}

/// The queues that have something to be sent now.
#[must_use]
pub fn due(tables: &Tables, now: Timestamp) -> Vec<u32> {
    let messages = tables.event_messages();
    let pushing = tables.event_queues().iter();
    let pushing = pushing.filter(|queue| queue.push.is_some());
    let due = pushing.filter(|queue| messages.free(queue.id, now).next().is_some());
    due.map(|queue| queue.id).collect()
}

/// Claims messages of a queue until a time, so that nobody else takes them meanwhile.
///
/// # Errors
/// When the store fails.
pub async fn claim(
    state: &State,
    queue: u32,
    claim: Claim,
    most: usize,
    now: Timestamp,
) -> Result<Vec<QueueMessage>, Refusal> {
    state
        .write(|draft| {
            let free = draft.tables().event_messages().free(queue, now);
            let claimed: Vec<QueueMessage> = fitting(free, most.min(MOST_LEASED))
                .map(|message| QueueMessage {
                    claim: Some(claim),
                    ..QueueMessage::clone(message)
                })
                .collect();
            claimed.iter().for_each(|message| draft.replace(message));
            Ok(claimed)
        })
        .await
}

/// Those of the messages that fit into one transaction; one always does.
fn fitting<'m>(
    free: impl Iterator<Item = &'m Arc<QueueMessage>>,
    most: usize,
) -> impl Iterator<Item = &'m Arc<QueueMessage>> {
    let mut bytes = 0;
    free.take(most).take_while(move |message| {
        let is_first = bytes == 0;
        bytes += message.bytes();
        is_first || bytes <= STEP_BYTES
    })
}

/// Leases messages to a program. Each has an [`AckId`] then.
///
/// # Errors
/// When the store fails.
pub async fn lease(
    state: &State,
    queue: u32,
    most: usize,
    time: Duration,
    now: Timestamp,
) -> Result<Vec<QueueMessage>, Refusal> {
    let lease = Claim {
        by: one_time::number(),
        until: now + time,
    };
    claim(state, queue, lease, most, now).await
}

/// Removes messages that a program has. Those that have been leased again since stay. Returns how many
/// were there.
///
/// # Errors
/// When the store fails.
pub async fn acknowledge(state: &State, queue: u32, acks: &[AckId]) -> Result<usize, Refusal> {
    let mut acknowledged = 0;
    for part in acks.chunks(MOST_LEASED) {
        acknowledged += state
            .write::<_, Refusal>(|draft| {
                let mut count = 0;
                for ack in part {
                    let found = draft
                        .tables()
                        .event_messages()
                        .get(&(queue, ack.id.clone()));
                    let is_same = |claim: Claim| claim.by == ack.lease;
                    if let Some(message) = found.filter(|found| found.claim.is_some_and(is_same)) {
                        draft.discard(&**message);
                        count += 1;
                    }
                }
                Ok(count)
            })
            .await?;
    }
    Ok(acknowledged)
}

/// How an attempt to send a message ended.
pub type Attempt = (MessageId, Result<(), String>);

/// Stores how the attempts of the controller `by` ended.
///
/// # Errors
/// When the store fails.
pub async fn record(
    state: &State,
    by: u64,
    attempts: &[Attempt],
    patience: Patience,
    now: Timestamp,
) -> Result<(), Refusal> {
    for part in attempts.chunks(STEP) {
        state
            .write::<_, Refusal>(|draft| {
                for attempt in part {
                    ended(draft, by, attempt, (patience, now));
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

fn ended(
    draft: &mut Draft<'_>,
    by: u64,
    (id, result): &Attempt,
    (patience, now): (Patience, Timestamp),
) {
    let Some(message) = draft.tables().event_messages().get(id) else {
        return;
    };
    let is_ours = message.claim.is_some_and(|claim| claim.by == by);
    match result {
        // It has it, whoever has taken the message over since.
        Ok(()) => draft.discard(&**message),
        Err(why) if is_ours => draft.replace(&put_off(message, why, patience, now)),
        Err(_) => {}
    }
}

/// A message after an attempt that failed. Pure.
fn put_off(message: &QueueMessage, why: &str, patience: Patience, now: Timestamp) -> QueueMessage {
    let failed = message.failed.saturating_add(1);
    let wait = patience.after(failed, &message.id);
    QueueMessage {
        failed,
        error: Some(why.to_owned()),
        due: now + wait.unwrap_or(patience.longest),
        claim: None,
        ..message.clone()
    }
}

/// What is removed without having been taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trimmed {
    /// Of queues that are gone.
    pub left: usize,
    /// Too old, or too many.
    pub lost: usize,
}

/// Removes messages of queues that are gone, those that are too old, and the oldest where they are too
/// many.
///
/// # Errors
/// When the store fails.
pub async fn trim(state: &State, now: Timestamp) -> Result<Trimmed, Refusal> {
    let (left, lost) = state.read(|tables| to_go(tables, now));
    let trimmed = Trimmed {
        left: left.len(),
        lost: lost.len(),
    };
    let all: Vec<MessageId> = left.into_iter().chain(lost).collect();
    for part in all.chunks(STEP) {
        state
            .write::<_, Refusal>(|draft| {
                for id in part {
                    if let Some(message) = draft.tables().event_messages().get(id) {
                        draft.discard(&**message);
                    }
                }
                Ok(())
            })
            .await?;
    }
    Ok(trimmed)
}

fn to_go(tables: &Tables, now: Timestamp) -> (Vec<MessageId>, Vec<MessageId>) {
    let messages = tables.event_messages();
    let (mut left, mut lost) = (Vec::new(), Vec::new());
    for queue in messages.queues() {
        if tables.event_queues().get(&queue).is_none() {
            left.extend(messages.of_queue(queue).map(|message| message.id()));
            continue;
        }
        let mut load = messages.load(queue);
        for message in messages.of_queue(queue) {
            let is_too_old = now.since(message.at) > KEPT;
            let are_too_many = load.messages > MOST_MESSAGES || load.bytes > MOST_BYTES;
            if !is_too_old && !are_too_many {
                break;
            }
            load.messages -= 1;
            load.bytes = load.bytes.saturating_sub(message.data.len());
            lost.push(message.id());
        }
    }
    (left, lost)
}

#[cfg(test)]
mod tests {
    use foghorn_types::StorageGroupId;

    use super::*;
    use crate::state::machines::queue::{EventKind, EventQueue};
    use crate::store::cache::View as _;
    use crate::store::{Change, Entry, Op};

    fn put(tables: &mut Tables, op: Op) {
        let Op::Put { key, value } = op else {
            panic!("not a put")
        };
        let entry = Entry {
            key,
            value,
            created: 1,
            modified: 5,
        };
        tables.apply(&Change::Put(entry)).unwrap();
    }

    fn message(queue: u32, id: &str, at: Timestamp, data: &str) -> QueueMessage {
        QueueMessage {
            queue,
            id: id.to_owned(),
            kind: EventKind::DeviceFirstSeen,
            at,
            data: data.to_owned(),
            failed: 0,
            error: None,
            due: at,
            claim: None,
            modified: 0,
        }
    }

    #[test]
    fn the_oldest_of_too_many_messages_go() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let mut tables = Tables::default();
        for id in [1, 2] {
            let queue = EventQueue {
                id,
                factory: StorageGroupId::new(1).unwrap(),
                label: id.to_string(),
                push: None,
                by: 1,
                created: now,
                modified: 0,
            };
            put(&mut tables, queue.put_op());
        }
        for number in 0..MOST_MESSAGES + 2 {
            let one = message(1, &format!("{number:08}"), now, "{}");
            put(&mut tables, one.put_op());
        }
        // Three of which two fit.
        let large = "x".repeat(MOST_BYTES * 2 / 5);
        for id in ["a", "b", "c"] {
            put(&mut tables, message(2, id, now, &large).put_op());
        }
        put(&mut tables, message(3, "of nobody", now, "{}").put_op());
        let (left, mut lost) = to_go(&tables, now);
        lost.sort();
        assert_eq!(left, [(3_u32, "of nobody".to_owned())]);
        let expected = [(1_u32, "00000000"), (1, "00000001"), (2, "a")];
        assert_eq!(lost, expected.map(|(queue, id)| (queue, id.to_owned())));
        let (_, lost) = to_go(&tables, now + KEPT + Duration::from_secs(1));
        assert_eq!(lost.len(), MOST_MESSAGES + 5);
    }

    #[test]
    fn what_is_claimed_at_once_fits_into_a_transaction() {
        let now = Timestamp::from_millis(1);
        let count = |bytes: usize, most: usize| {
            let all = (0..50).map(|_| Arc::new(message(1, "m", now, &"x".repeat(bytes))));
            let all: Vec<_> = all.collect();
            fitting(all.iter(), most).count()
        };
        assert_eq!((count(2, 100), count(2, 16)), (50, 16));
        assert_eq!(count(64 << 10, 100), 6);
        assert_eq!(count(STEP_BYTES * 2, 100), 1, "it would never be taken");
    }

    #[test]
    fn an_ack_id_names_the_message_and_the_lease() {
        let ack = AckId {
            id: "000000000000009-00000000000000ff".to_owned(),
            lease: 255,
        };
        let text = ack.to_string();
        assert_eq!(text, "000000000000009-00000000000000ff.00000000000000ff");
        assert_eq!(text.parse(), Ok(ack));
        for text in ["", "x", "x.", "x.y"] {
            assert!(text.parse::<AckId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_that_failed_is_put_off_longer_and_longer_and_never_given_up() {
        let now = Timestamp::from_millis(1_000_000);
        let patience = Patience {
            attempts: u32::MAX,
            ..Patience::default()
        };
        let mut message = message(1, "m", now, "{}");
        message.claim = Some(Claim { by: 7, until: now });
        let mut waits = Vec::new();
        for _ in 0..100 {
            message = put_off(&message, "refused", patience, now);
            waits.push(message.due.since(now).as_secs());
        }
        assert!(waits[0] <= 12 && waits[1] > waits[0], "{waits:?}");
        assert!((48 * 60..=72 * 60).contains(&waits[99]), "{waits:?}");
        assert_eq!((message.failed, message.claim), (100, None));
        assert_eq!(message.error.as_deref(), Some("refused"));
    }
}
