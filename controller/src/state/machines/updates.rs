//! Updates of a device and what it said about them.

use foghorn_types::{MachineUuid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, stored_whole};
use crate::store::Revision;

/// Keys of updates: this and the UUID of the device.
const PREFIX: &str = "/foghorn/v1/device-updates/";
/// Updates of one device that are kept.
pub const MOST_UPDATES: usize = 10;
/// Events of one update that are kept: the first ones.
pub const MOST_EVENTS: usize = 32;

/// The updates of one device, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceUpdates {
    pub uuid: MachineUuid,
    pub list: Vec<Update>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Update {
    pub correlation_id: String,
    /// Name of the target.
    pub target: String,
    pub version: String,
    /// When it was first heard of.
    pub at: Timestamp,
    /// In the order in which they came.
    pub events: Vec<UpdateEvent>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UpdateEvent {
    /// By which the device tells it from others; the same event sent twice is stored once.
    pub id: String,
    /// Such as `EcuDownloadStarted`.
    pub kind: String,
    /// By the clock of the device, as it sent it.
    pub device_time: String,
    pub version: String,
    pub target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl DeviceUpdates {
    #[must_use]
    pub fn none(uuid: MachineUuid) -> Self {
        Self {
            uuid,
            list: Vec::new(),
            modified: 0,
        }
    }

    /// Adds an event to its update. Returns whether it is new; what is over the limits goes.
    pub fn add(&mut self, correlation_id: &str, event: UpdateEvent, now: Timestamp) -> bool {
        let place = self
            .list
            .iter()
            .position(|update| update.correlation_id == correlation_id);
        let place = place.unwrap_or_else(|| {
            if self.list.len() >= MOST_UPDATES {
                self.list.remove(0);
            }
            self.list.push(Update {
                correlation_id: correlation_id.to_owned(),
                target: event.target.clone(),
                version: event.version.clone(),
                at: now,
                events: Vec::new(),
            });
            self.list.len() - 1
        });
        let update = &mut self.list[place];
        let is_known = update.events.iter().any(|known| known.id == event.id);
        if is_known || update.events.len() >= MOST_EVENTS {
            return false;
        }
        update.events.push(event);
        true
    }

    #[must_use]
    pub fn get(&self, correlation_id: &str) -> Option<&Update> {
        self.list
            .iter()
            .find(|update| update.correlation_id == correlation_id)
    }
}

impl Record for DeviceUpdates {
    const WHAT: &'static str = "updates of a device";
    type Id = MachineUuid;
    type Index = ();

    fn id(&self) -> MachineUuid {
        self.uuid
    }

    fn key_of(uuid: &MachineUuid) -> String {
        format!("{PREFIX}{uuid}")
    }

    fn id_in(key: &str) -> Option<MachineUuid> {
        key.strip_prefix(PREFIX)?.parse().ok()
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    stored_whole!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_kept_once_and_both_lists_are_bounded() {
        let now = Timestamp::from_millis(1);
        let event = |id: usize| UpdateEvent {
            id: id.to_string(),
            kind: "EcuDownloadStarted".to_owned(),
            device_time: String::new(),
            version: "7".to_owned(),
            target: "disk-7".to_owned(),
            success: None,
            details: String::new(),
        };
        let mut updates = DeviceUpdates::none(MachineUuid::from_bits(1));
        assert!(updates.add("first", event(0), now));
        assert!(!updates.add("first", event(0), now));
        for id in 1..MOST_EVENTS {
            assert!(updates.add("first", event(id), now));
        }
        assert!(!updates.add("first", event(MOST_EVENTS), now));
        for number in 0..MOST_UPDATES {
            assert!(updates.add(&format!("next-{number}"), event(0), now));
        }
        assert_eq!(updates.list.len(), MOST_UPDATES);
        assert!(updates.get("first").is_none(), "the oldest one goes");
        assert_eq!(updates.get("next-0").unwrap().target, "disk-7");
    }
}
