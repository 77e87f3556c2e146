//! How devices are getting on, one of them and those of a factory.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_types::{StorageGroupId, Timestamp};

use super::list;
use super::newest::{self, TagCounts};
use super::targets;
use crate::state::State;
use crate::state::machines::device::Device;
use crate::state::machines::sightings::Sightings;

/// A device is offline when it has been silent for longer, unless a request says otherwise.
pub const OFFLINE_AFTER: Duration = Duration::from_secs(4 * 60 * 60);

/// How one device is getting on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// It has not spoken yet.
    New,
    Online,
    /// It has been silent for longer than [`OFFLINE_AFTER`].
    Offline,
    /// Two machines have used its identity lately.
    Cloned,
}

/// How a device is getting on that was last seen then.
#[must_use]
pub fn condition(device: &Device, last_seen: Option<Timestamp>, now: Timestamp) -> Condition {
    match last_seen {
        _ if device.boots.cloned(now).is_some() => Condition::Cloned,
        None => Condition::New,
        Some(last) if now.since(last) <= OFFLINE_AFTER => Condition::Online,
        Some(_) => Condition::Offline,
    }
}

/// How the devices of a factory are getting on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactoryStatus {
    pub total: u64,
    /// By tag; of devices that are not in production.
    pub tags: BTreeMap<String, TagCounts>,
    /// Of those that are.
    pub prod_tags: BTreeMap<String, TagCounts>,
}

/// Counts the devices of a factory. Offline is who has been silent for longer than `offline_after`.
#[must_use]
pub fn status(
    state: &State,
    seen: &Sightings,
    factory: StorageGroupId,
    offline_after: Duration,
    now: Timestamp,
) -> FactoryStatus {
    let (followers, all) = state.read(|tables| {
        let devices = tables.devices().iter();
        let own = devices.filter(|device| device.factory == factory);
        let followers = own.map(|device| {
            let last = seen.last(device);
            newest::Follower {
                is_online: last.is_some_and(|last| now.since(last) <= offline_after),
                ..list::follower(tables, device)
            }
        });
        let followers: Vec<_> = followers.collect();
        (followers, targets::candidates(tables, factory))
    });
    let (prod, other): (Vec<_>, Vec<_>) = followers.iter().partition(|one| one.is_prod);
    FactoryStatus {
        total: followers.len() as u64,
        tags: newest::count(other.into_iter(), &all),
        prod_tags: newest::count(prod.into_iter(), &all),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::MachineUuid;

    use super::*;

    #[test]
    fn a_device_is_new_online_offline_or_two_machines() {
        let at = |seconds: u64| Timestamp::from_millis(0) + Duration::from_secs(seconds);
        let factory = StorageGroupId::new(1).unwrap();
        let mut device = Device::new(MachineUuid::from_bits(1), factory, 0, at(0));
        let now = at(100_000);
        let silent = |for_so_long: Duration| Some(at(100_000 - for_so_long.as_secs()));
        let longer = OFFLINE_AFTER + Duration::from_secs(1);
        assert_eq!(condition(&device, None, now), Condition::New);
        assert_eq!(
            condition(&device, silent(OFFLINE_AFTER), now),
            Condition::Online
        );
        assert_eq!(condition(&device, silent(longer), now), Condition::Offline);
        for boot in ["one", "two", "one"] {
            device.boots.note(boot, now);
        }
        assert_eq!(condition(&device, silent(longer), now), Condition::Cloned);
    }
}
