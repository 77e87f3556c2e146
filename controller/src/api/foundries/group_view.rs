//! Device groups as the API shows them.

use foghorn_types::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::times;
use crate::app::devices::factories::user_code;
use crate::state::machines::group::DeviceGroup;
use crate::state::machines::meta::ChangeMeta;

/// Devices of one factory that share a configuration.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DeviceGroupView {
    /// Its number.
    id: u32,
    /// Unique in the factory.
    name: String,
    /// For people; may be empty.
    description: String,
    /// Who made and changed it.
    change_meta: FactoryChangeMeta,
}

/// The device groups of a factory.
#[derive(Serialize, JsonSchema)]
pub(super) struct DeviceGroups {
    /// In the order in which they were made.
    pub(super) groups: Vec<DeviceGroupView>,
}

/// Who made something, and who changed it last.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FactoryChangeMeta {
    /// Id of the user who made it; empty for a device itself.
    created_by: String,
    /// When, RFC 3339.
    created_at: String,
    /// Id of the user who changed it last; empty for a device itself.
    updated_by: String,
    /// When, RFC 3339.
    updated_at: String,
}

impl FactoryChangeMeta {
    pub(super) fn of(meta: &ChangeMeta, time: fn(Timestamp) -> String) -> Self {
        Self {
            created_by: user_code(meta.created_by),
            created_at: time(meta.created_at),
            updated_by: user_code(meta.updated_by),
            updated_at: time(meta.updated_at),
        }
    }
}

impl DeviceGroupView {
    pub(super) fn of(group: &DeviceGroup) -> Self {
        Self {
            id: group.id.get(),
            name: group.name.clone(),
            description: group.description.clone(),
            change_meta: FactoryChangeMeta::of(&group.meta, times::of_device),
        }
    }
}
