//! Updates of devices: what devices say about them, and what is shown.

use foghorn_types::{MachineUuid, Timestamp};

use super::paging::{Page, Paged};
use super::queues::events::{self, tell};
use crate::state::machines::device::Device;
use crate::state::machines::updates::{DeviceUpdates, Update, UpdateEvent};
use crate::state::{Refusal, State, Tables};

/// Bytes that are kept of the details of an event.
const LONGEST_DETAILS: usize = 512;
/// Bytes that are kept of every other text.
const LONGEST: usize = 128;
/// Events that are taken from one request.
pub const MOST_AT_ONCE: usize = 256;
/// Events that are stored in one transaction: each may begin and end an update, which every queue of the
/// factory is told, and a transaction of etcd takes 128 operations.
const STEP: usize = 8;
/// The event that ends an update.
const ENDED: &str = "EcuInstallationCompleted";

/// An event as a device sends it, which may be about no update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Which update it is about; empty: none.
    pub correlation_id: String,
    pub event: UpdateEvent,
}

/// What events have begun or ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Started {
        id: String,
        target: String,
    },
    Completed {
        id: String,
        target: String,
        success: bool,
    },
}

/// Why events were not stored.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error(transparent)]
    State(#[from] Refusal),
}

impl Step {
    fn event(&self) -> events::Event<'_> {
        match self {
            Self::Started { id, target } => events::Event::Started { id, target },
            Self::Completed {
                id,
                target,
                success,
            } => events::Event::Completed {
                id,
                target,
                success: *success,
            },
        }
    }
}

/// Stores events of a device. Those without an update or a kind, and those that are known already, are
/// passed over, as is what is over the limits.
///
/// # Errors
/// See [`EventError`]; what has been stored is known when it is sent again.
pub async fn record(
    state: &State,
    uuid: MachineUuid,
    sent: &[Sent],
) -> Result<Vec<Step>, EventError> {
    let now = Timestamp::now();
    let sent: Vec<Sent> = sent.iter().take(MOST_AT_ONCE).filter_map(short).collect();
    let mut steps = Vec::new();
    for part in sent.chunks(STEP) {
        steps.extend(store(state, uuid, part, now).await?);
    }
    Ok(steps)
}

async fn store(
    state: &State,
    uuid: MachineUuid,
    sent: &[Sent],
    now: Timestamp,
) -> Result<Vec<Step>, EventError> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let before = tables.devices().get(&uuid);
            let before = before.ok_or(EventError::NotThere(uuid))?;
            let mut device = Device::clone(before);
            let stored = tables.device_updates().get(&uuid);
            let mut updates = stored.map_or_else(
                || DeviceUpdates::none(uuid),
                |stored| DeviceUpdates::clone(stored),
            );
            let steps = take(&mut updates, &mut device.update, sent, now);
            if stored.is_none_or(|stored| **stored != updates) && !updates.list.is_empty() {
                draft.replace(&updates);
                // The device must not go meanwhile.
                device.last_seen = device.last_seen.max(Some(now));
                draft.replace(&device);
                for step in &steps {
                    tell(draft, &device, step.event(), now);
                }
            }
            Ok(steps)
        })
        .await
}

/// What the events make of the updates, and of the one that is in progress. Pure.
fn take(
    updates: &mut DeviceUpdates,
    current: &mut Option<String>,
    sent: &[Sent],
    now: Timestamp,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for Sent {
        correlation_id: id,
        event,
    } in sent
    {
        let begins = updates.get(id).is_none();
        if !updates.add(id, event.clone(), now) {
            continue;
        }
        let target = event.target.clone();
        if begins {
            steps.push(Step::Started {
                id: id.clone(),
                target: target.clone(),
            });
        }
        if event.kind == ENDED {
            if current.as_deref() == Some(id) {
                *current = None;
            }
            steps.push(Step::Completed {
                id: id.clone(),
                target,
                success: event.success.unwrap_or_default(),
            });
        } else if !has_ended(updates, id) {
            *current = Some(id.clone());
        }
    }
    steps
}

fn has_ended(updates: &DeviceUpdates, id: &str) -> bool {
    let update = updates.get(id);
    update.is_some_and(|update| update.events.iter().any(|event| event.kind == ENDED))
}

/// The event with its texts cut to what is kept; `None` for one that is about nothing.
fn short(sent: &Sent) -> Option<Sent> {
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let Sent {
        correlation_id,
        event,
    } = sent;
    if correlation_id.is_empty() || event.id.is_empty() || event.kind.is_empty() {
        return None;
    }
    Some(Sent {
        correlation_id: cut(correlation_id, LONGEST),
        event: UpdateEvent {
            id: cut(&event.id, LONGEST),
            kind: cut(&event.kind, LONGEST),
            device_time: cut(&event.device_time, LONGEST),
            version: cut(&event.version, LONGEST),
            target: cut(&event.target, LONGEST),
            success: event.success,
            details: cut(&event.details, LONGEST_DETAILS),
        },
    })
}

/// The updates of a device that are kept, the newest first.
#[must_use]
pub fn list(tables: &Tables, uuid: MachineUuid, page: Page) -> Paged<Update> {
    let updates = tables.device_updates().get(&uuid);
    let all = updates.map(|updates| updates.list.iter().rev().cloned().collect());
    Paged::of(all.unwrap_or_default(), page)
}

/// One update, whose events are in the order in which they came.
#[must_use]
pub fn show(tables: &Tables, uuid: MachineUuid, correlation_id: &str) -> Option<Update> {
    let updates = tables.device_updates().get(&uuid)?;
    updates.get(correlation_id).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(update: &str, id: &str, kind: &str, success: Option<bool>) -> Sent {
        Sent {
            correlation_id: update.to_owned(),
            event: UpdateEvent {
                id: id.to_owned(),
                kind: kind.to_owned(),
                device_time: String::new(),
                version: "2".to_owned(),
                target: "disk-2".to_owned(),
                success,
                details: String::new(),
            },
        }
    }

    #[test]
    fn an_update_is_in_progress_until_its_installation_is_complete() {
        let now = Timestamp::from_millis(1);
        let mut updates = DeviceUpdates::none(MachineUuid::from_bits(1));
        let mut current = None;
        let begin = [sent("u", "1", "EcuDownloadStarted", None)];
        let steps = take(&mut updates, &mut current, &begin, now);
        let started = Step::Started {
            id: "u".to_owned(),
            target: "disk-2".to_owned(),
        };
        assert_eq!((steps, current.as_deref()), (vec![started], Some("u")));
        let end = [
            sent("u", "2", ENDED, Some(true)),
            // It was delayed.
            sent("u", "3", "EcuInstallationApplied", None),
        ];
        let steps = take(&mut updates, &mut current, &end, now);
        let completed = Step::Completed {
            id: "u".to_owned(),
            target: "disk-2".to_owned(),
            success: true,
        };
        assert_eq!((steps, current.as_deref()), (vec![completed], None));
        let again = take(&mut updates, &mut current, &end, now);
        assert!(again.is_empty());
        assert_eq!(updates.get("u").unwrap().events.len(), 3);
    }

    #[test]
    fn what_is_about_nothing_is_passed_over_and_long_texts_are_cut() {
        for nothing in [
            sent("", "1", ENDED, None),
            sent("u", "", ENDED, None),
            sent("u", "1", "", None),
        ] {
            assert_eq!(short(&nothing), None);
        }
        let mut long = sent("u", "1", ENDED, None);
        long.event.details = "ä".repeat(5000);
        let kept = short(&long).unwrap().event.details;
        assert_eq!(kept.chars().count(), LONGEST_DETAILS);
    }
}
