//! Which log-ins and log-outs of a device are stored already, so that it may tell them again.

use foghorn_types::MachineUuid;
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, stored_whole};
use crate::store::Revision;

/// Keys of these: this and the UUID of the device.
const PREFIX: &str = "/foghorn/v1/device-users/";
/// Events that are remembered: twice what a device tells at once.
pub const MOST: usize = 512;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceUsers {
    pub uuid: MachineUuid,
    /// The beginning of BLAKE3 of the ids that the device gave its events, the oldest first.
    pub known: Vec<u64>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl DeviceUsers {
    #[must_use]
    pub fn none(uuid: MachineUuid) -> Self {
        Self {
            uuid,
            known: Vec::new(),
            modified: 0,
        }
    }

    /// Remembers an event in place of the oldest one. Whether it is new.
    pub fn add(&mut self, id: &str) -> bool {
        let digest = blake3::hash(id.as_bytes());
        let first = digest.as_bytes().first_chunk();
        let hash = first.map_or(0, |first| u64::from_be_bytes(*first));
        if self.known.contains(&hash) {
            return false;
        }
        if self.known.len() >= MOST {
            self.known.remove(0);
        }
        self.known.push(hash);
        true
    }
}

impl Record for DeviceUsers {
    const WHAT: &'static str = "log-ins of a device";
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
    fn the_last_events_are_remembered() {
        let mut users = DeviceUsers::none(MachineUuid::from_bits(1));
        for number in 0..=MOST {
            assert!(users.add(&number.to_string()));
        }
        assert_eq!(users.known.len(), MOST);
        assert!(!users.add("1"));
        assert!(users.add("0"), "the oldest one goes");
        assert!(users.add("1"), "and then the next");
    }
}
