//! Devices: the identity of a machine, and what it last said about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_types::{DeviceGroupId, HostId, MachineUuid, StorageGroupId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::boots::Boots;
use super::meta::ChangeMeta;
use crate::state::shelf::{Index, Record, Shelf, stored_whole};
use crate::store::Revision;

/// Keys of devices: this and the UUID.
const PREFIX: &str = "/foghorn/v1/device/";

/// One machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    pub uuid: MachineUuid,
    pub factory: StorageGroupId,
    /// The FOG host that it is, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Bound>,
    /// `None`: it is called as its host is. A host's name is short and unique in the installation; a
    /// device's may be longer, and is unique in its factory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of a user; 0 for nobody.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub owner: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Membership>,
    /// When it last joined or left a group: its configuration may have changed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regrouped: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_prod: bool,
    /// PEM of the SubjectPublicKeyInfo of its certificates. Operators encrypt with it.
    pub public_key: String,
    /// SHA-256 of its last certificate, in hexadecimal.
    pub fingerprint: String,
    /// What hardware it is, in the words of targets; `None` fits every target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_id: Option<String>,
    #[serde(default, skip_serializing_if = "Running::is_unknown")]
    pub running: Running,
    /// Correlation id of the update that is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// What it was imaged with last because of its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    pub meta: ChangeMeta,
    /// When it last spoke, as far as that is stored: see [`super::sightings`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// As the device sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Value>,
    /// Settings of its update agent, as it sent them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub aktualizr_toml: String,
    /// As the device sent them last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps_state: Option<Value>,
    /// When it first fetched a version of its own configuration, by number of the version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub applied: BTreeMap<u32, Timestamp>,
    /// Which starts of the machine have spoken, as far as its service says.
    #[serde(default, skip_serializing_if = "Boots::is_none")]
    pub boots: Boots,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// Which host a device is, and who says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bound {
    pub to: HostId,
    pub by: BoundBy,
}

/// Why a device is taken for a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundBy {
    /// The authority, when it signed the certificate.
    Certificate,
    /// Whoever registered the device: with a UUID that is that of the host's hardware.
    Uuid,
    /// The device itself, which says that it has an address of the host, or the UUID of its hardware when it
    /// enrols with a token for a factory, or makes itself known. Whoever has a certificate, or such a token, can
    /// say that.
    Address,
}

/// The group that a device is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    pub id: DeviceGroupId,
    pub since: Timestamp,
}

/// What a device runs, in its own words. A text that is empty is not known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Running {
    /// Name of a target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Hash of a target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// The tag that it follows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<String>,
}

impl Running {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// An attempt to give a device the target of its tag.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// Hash of the target.
    pub hash: String,
    /// [`super::policy::RingPolicy::round`] at that time.
    pub round: u32,
    pub at: Timestamp,
    /// The machine did not come: it may be tried again, after others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// How a device is reached, in its own words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Network {
    pub hostname: String,
    pub mac: String,
    pub local_ipv4: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Device {
    /// A device that has said nothing yet.
    #[must_use]
    pub fn new(uuid: MachineUuid, factory: StorageGroupId, by: u32, now: Timestamp) -> Self {
        Self {
            uuid,
            factory,
            host: None,
            name: None,
            owner: by,
            group: None,
            regrouped: None,
            is_prod: false,
            public_key: String::new(),
            fingerprint: String::new(),
            hardware_id: None,
            running: Running::default(),
            update: None,
            tried: None,
            meta: ChangeMeta::new(by, now),
            last_seen: None,
            network: None,
            hardware: None,
            aktualizr_toml: String::new(),
            apps_state: None,
            applied: BTreeMap::new(),
            boots: Boots::default(),
            modified: 0,
        }
    }
}

impl Record for Device {
    const WHAT: &'static str = "device";
    type Id = MachineUuid;
    type Index = Ties;

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

/// Devices by what they belong to.
#[derive(Default)]
pub struct Ties {
    by_host: BTreeSet<(HostId, MachineUuid)>,
    by_group: BTreeSet<(DeviceGroupId, MachineUuid)>,
}

impl Index<Device> for Ties {
    fn add(&mut self, device: &Device) {
        if let Some(host) = device.host {
            self.by_host.insert((host.to, device.uuid));
        }
        if let Some(group) = device.group {
            self.by_group.insert((group.id, device.uuid));
        }
    }

    fn remove(&mut self, device: &Device) {
        if let Some(host) = device.host {
            self.by_host.remove(&(host.to, device.uuid));
        }
        if let Some(group) = device.group {
            self.by_group.remove(&(group.id, device.uuid));
        }
    }
}

/// All UUIDs, beside an id.
fn all_of<T: Copy>(id: T) -> std::ops::RangeInclusive<(T, MachineUuid)> {
    (id, MachineUuid::from_bits(0))..=(id, MachineUuid::from_bits(u128::MAX))
}

impl Shelf<Device> {
    /// The device that is this host.
    #[must_use]
    pub fn of_host(&self, host: HostId) -> Option<&Arc<Device>> {
        let (_, uuid) = self.index().by_host.range(all_of(host)).next()?;
        self.get(uuid)
    }

    /// Devices in a group, by UUID.
    pub fn in_group(&self, group: DeviceGroupId) -> impl Iterator<Item = &Arc<Device>> {
        let members = self.index().by_group.range(all_of(group));
        members.filter_map(|(_, uuid)| self.get(uuid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Op};

    fn put(device: &Device) -> Change {
        let Op::Put { key, value } = device.put_op() else {
            panic!("not a put")
        };
        Change::Put(Entry {
            key,
            value,
            created: 1,
            modified: 5,
        })
    }

    #[test]
    fn a_device_is_found_by_its_host_and_by_its_group_as_long_as_it_has_them() {
        let now = Timestamp::from_millis(7);
        let host = HostId::new(3).unwrap();
        let group = DeviceGroupId::new(4).unwrap();
        let factory = StorageGroupId::new(1).unwrap();
        let mut device = Device::new(MachineUuid::from_bits(9), factory, 2, now);
        device.host = Some(Bound {
            to: host,
            by: BoundBy::Uuid,
        });
        device.group = Some(Membership {
            id: group,
            since: now,
        });
        let mut shelf = Shelf::<Device>::default();
        shelf.apply(&put(&device)).unwrap();
        let found = shelf.of_host(host).unwrap();
        assert_eq!((found.uuid, found.modified), (device.uuid, 5));
        assert_eq!(shelf.in_group(group).count(), 1);
        assert!(shelf.of_host(HostId::new(2).unwrap()).is_none());
        (device.host, device.group) = (None, None);
        shelf.apply(&put(&device)).unwrap();
        assert!(shelf.of_host(host).is_none());
        assert_eq!(shelf.in_group(group).count(), 0);
        assert!(shelf.get(&device.uuid).is_some());
    }
}
