//! What queues are told. [`tell`] is called in the transaction in which something happens.

use foghorn_types::Timestamp;
use serde_json::{Value, json};

use crate::state::Draft;
use crate::state::machines::device::Device;
use crate::state::machines::queue::{EventKind, QueueMessage};
use crate::state::notify::new_id;

/// Messages of one queue that are kept: of more, the oldest go in the next round.
pub const MOST_MESSAGES: usize = 10_000;
/// The same of their bytes.
pub const MOST_BYTES: usize = 16 << 20;
/// How many may come until the next round; what is over that is not written at all.
const SPARE_MESSAGES: usize = 1_000;
/// Bytes of the state of apps in a message: it is in the transaction once for each queue.
const LONGEST_APPS: usize = 32 << 10;
/// Bytes of the messages of all queues.
const MOST_BYTES_OF_ALL: usize = 64 << 20;

/// Something that happened to a device.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event<'e> {
    FirstSeen,
    /// It spoke again, and that was stored.
    LastSeen {
        /// The attributes that it changed.
        changes: &'e [&'static str],
    },
    /// It fetched a new version of its own configuration.
    ConfigApplied,
    Started {
        id: &'e str,
        target: &'e str,
    },
    Completed {
        id: &'e str,
        target: &'e str,
        success: bool,
    },
    /// What its apps do, as it sent it.
    AppsChanged {
        told: &'e Value,
    },
}

impl Event<'_> {
    fn kind(self) -> EventKind {
        match self {
            Self::FirstSeen => EventKind::DeviceFirstSeen,
            Self::LastSeen { .. } => EventKind::DeviceLastSeen,
            Self::ConfigApplied => EventKind::DeviceConfigApplied,
            Self::Started { .. } => EventKind::DeviceOtaStarted,
            Self::Completed { .. } => EventKind::DeviceOtaCompleted,
            Self::AppsChanged { .. } => EventKind::DeviceOtaAppsStateChanged,
        }
    }
}

/// Adds an event to the draft, for every queue of the factory of the device.
pub fn tell(draft: &mut Draft<'_>, device: &Device, event: Event<'_>, now: Timestamp) {
    let tables = draft.tables();
    let mut queues = tables.event_queues().of_factory(device.factory).peekable();
    if queues.peek().is_none() {
        return;
    }
    let data = data(device, event, now).to_string();
    let messages = tables.event_messages();
    let is_all_full = messages.bytes() + data.len() > MOST_BYTES_OF_ALL;
    for queue in queues {
        let load = messages.load(queue.id);
        let is_full = load.messages >= MOST_MESSAGES + SPARE_MESSAGES
            || load.bytes + data.len() > MOST_BYTES * 2;
        if is_full || is_all_full {
            continue;
        }
        draft.store(&QueueMessage {
            queue: queue.id,
            id: new_id(now),
            kind: event.kind(),
            at: now,
            data: data.clone(),
            failed: 0,
            error: None,
            due: now,
            claim: None,
            modified: 0,
        });
    }
}

/// What a message says. Pure.
fn data(device: &Device, event: Event<'_>, now: Timestamp) -> Value {
    let mut data = json!({
        "Uuid": device.uuid.to_string(),
        "DeviceGroupId": device.group.map_or(0, |group| group.id.get()),
        "Time": now.as_millis().div_euclid(1000),
    });
    match event {
        Event::FirstSeen | Event::ConfigApplied => {}
        Event::LastSeen { changes } => data["Changes"] = json!(changes),
        Event::Started { id, target } => {
            data["Id"] = id.into();
            data["Target"] = target.into();
        }
        Event::Completed {
            id,
            target,
            success,
        } => {
            data["Id"] = id.into();
            data["Target"] = target.into();
            data["Success"] = success.into();
        }
        Event::AppsChanged { told } => {
            for (key, of_device) in [
                ("Ostree", "ostree"),
                ("DeviceTime", "deviceTime"),
                ("Apps", "apps"),
            ] {
                let said = told.get(of_device);
                let short = said.filter(|said| said.to_string().len() <= LONGEST_APPS);
                data[key] = short.cloned().unwrap_or_default();
            }
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use foghorn_types::{DeviceGroupId, MachineUuid, StorageGroupId};

    use super::*;
    use crate::state::machines::device::Membership;

    #[test]
    fn each_kind_has_its_members() {
        let now = Timestamp::from_millis(5_999);
        let factory = StorageGroupId::new(1).unwrap();
        let mut device = Device::new(MachineUuid::from_bits(1), factory, 0, now);
        let uuid = device.uuid.to_string();
        let plain = json!({"Uuid": uuid, "DeviceGroupId": 0, "Time": 5});
        assert_eq!(data(&device, Event::FirstSeen, now), plain);
        device.group = Some(Membership {
            id: DeviceGroupId::new(4).unwrap(),
            since: now,
        });
        let with = |more: Value| {
            let mut all = json!({"Uuid": uuid, "DeviceGroupId": 4, "Time": 5});
            let members = more.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(members);
            all
        };
        let changes = ["tag", "target-name"];
        let apps = json!({"ostree": "aa", "apps": {"shop": {}}});
        for (event, more) in [
            (Event::ConfigApplied, json!({})),
            (
                Event::LastSeen { changes: &changes },
                json!({"Changes": ["tag", "target-name"]}),
            ),
            (
                Event::Started {
                    id: "u",
                    target: "disk-2",
                },
                json!({"Id": "u", "Target": "disk-2"}),
            ),
            (
                Event::Completed {
                    id: "u",
                    target: "disk-2",
                    success: false,
                },
                json!({"Id": "u", "Target": "disk-2", "Success": false}),
            ),
            (
                Event::AppsChanged { told: &apps },
                json!({"Ostree": "aa", "DeviceTime": null, "Apps": {"shop": {}}}),
            ),
        ] {
            assert_eq!(data(&device, event, now), with(more), "{event:?}");
        }
        let long = json!({"ostree": "aa", "apps": {"shop": "x".repeat(LONGEST_APPS)}});
        let short = data(&device, Event::AppsChanged { told: &long }, now);
        assert_eq!(
            (&short["Ostree"], &short["Apps"]),
            (&json!("aa"), &Value::Null)
        );
    }
}
