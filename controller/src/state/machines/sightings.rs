//! When devices last spoke. Each does every few seconds: that is kept in memory, and stored now and
//! then only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foghorn_types::{MachineUuid, Timestamp};

use super::device::Device;

/// What is stored is not older than this, as long as the device speaks.
pub const STORED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// The devices that have spoken to this controller. There are as many entries as devices at most:
/// only those that are stored are noted.
#[derive(Default)]
pub struct Sightings(Mutex<HashMap<MachineUuid, Timestamp>>);

impl Sightings {
    /// Notes that a device spoke.
    pub fn note(&self, uuid: MachineUuid, now: Timestamp) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.entry(uuid).or_insert(now);
        *last = now.max(*last);
    }

    /// Forgets a device that was deleted.
    pub fn forget(&self, uuid: MachineUuid) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(&uuid);
    }

    /// When the device last spoke, to this controller or, as far as that is stored, to another one.
    #[must_use]
    pub fn last(&self, device: &Device) -> Option<Timestamp> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&device.uuid).copied().max(device.last_seen)
    }

    /// Whether what is stored is too old by now.
    #[must_use]
    pub fn is_due(device: &Device, now: Timestamp) -> bool {
        device
            .last_seen
            .is_none_or(|stored| now.since(stored) >= STORED_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::StorageGroupId;

    use super::*;

    #[test]
    fn the_later_of_what_is_remembered_and_what_is_stored_counts() {
        let at = |seconds: u64| Timestamp::from_millis(0) + Duration::from_secs(seconds);
        let factory = StorageGroupId::new(1).unwrap();
        let mut device = Device::new(MachineUuid::from_bits(1), factory, 0, at(0));
        let seen = Sightings::default();
        assert_eq!(seen.last(&device), None);
        assert!(Sightings::is_due(&device, at(1)));
        seen.note(device.uuid, at(20));
        seen.note(device.uuid, at(10));
        assert_eq!(seen.last(&device), Some(at(20)));
        device.last_seen = Some(at(30));
        assert_eq!(seen.last(&device), Some(at(30)));
        assert!(!Sightings::is_due(&device, at(329)) && Sightings::is_due(&device, at(330)));
        seen.note(device.uuid, at(40));
        seen.forget(device.uuid);
        assert_eq!(seen.last(&device), Some(at(30)));
    }
}
