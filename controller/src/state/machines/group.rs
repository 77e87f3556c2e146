//! Device groups: devices of one factory that share a configuration.

use std::sync::Arc;

use foghorn_types::{DeviceGroupId, StorageGroupId};
use serde::{Deserialize, Serialize};

use super::meta::ChangeMeta;
use crate::state::shelf::{Record, Shelf, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of device groups: this and the number.
const PREFIX: &str = "/foghorn/v1/device-group/";
/// Under which their numbers are counted.
pub const SEQUENCE: &str = "devicegroup";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceGroup {
    pub id: DeviceGroupId,
    pub factory: StorageGroupId,
    /// Unique in the factory.
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub meta: ChangeMeta,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for DeviceGroup {
    const WHAT: &'static str = "device group";
    type Index = ();

    numbered_by!(PREFIX, id: DeviceGroupId);
    stored_whole!();
}

impl Shelf<DeviceGroup> {
    /// The group of the factory with this name.
    #[must_use]
    pub fn named(&self, factory: StorageGroupId, name: &str) -> Option<&Arc<DeviceGroup>> {
        self.of_factory(factory).find(|group| group.name == name)
    }

    /// Groups of the factory, by number.
    pub fn of_factory(&self, factory: StorageGroupId) -> impl Iterator<Item = &Arc<DeviceGroup>> {
        self.iter().filter(move |group| group.factory == factory)
    }
}
