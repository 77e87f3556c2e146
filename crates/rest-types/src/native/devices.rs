//! Bodies about devices: machines that have an identity of their own, after imaging.

use foghorn_types::{HostId, StorageGroupId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// Devices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceList {
    /// In the order of their UUIDs.
    pub devices: Vec<DeviceStatus>,
    /// Where to continue, as `after`; absent at the end. A page may have fewer devices than `limit`
    /// although there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a device is getting on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It is registered, and has not spoken yet.
    New,
    /// It has spoken within the last four hours.
    Online,
    /// It has been silent for longer.
    Offline,
    /// Two machines have used its identity within the last day.
    Cloned,
}

/// Who says which host a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceBinding {
    /// The authority, when it signed the certificate.
    Certificate,
    /// Whoever registered the device, with the UUID of the host's hardware.
    Uuid,
    /// The device itself only.
    Address,
}

/// A machine that has an identity of its own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceStatus {
    /// Its UUID, the common name of its certificate.
    pub uuid: String,
    /// Its name, unique in its factory.
    pub name: String,
    /// Its factory, which is a storage group.
    pub factory: Named<StorageGroupId>,
    /// The host that it is; null for none.
    pub host: Option<Named<HostId>>,
    /// Who says which host it is; null when it is none.
    pub bound_by: Option<DeviceBinding>,
    /// Name of its device group; null for none.
    pub group: Option<String>,
    /// Name of the user who owns it; null for nobody.
    pub owner: Option<String>,
    /// How it is getting on.
    pub status: DeviceState,
    /// When it spoke last; null before the first time.
    #[schemars(with = "Option<Rfc3339>")]
    pub last_seen: Option<String>,
    /// When it was made.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// Whether its certificate is one of production.
    pub production: bool,
    /// The tag that it follows; null for none.
    pub tag: Option<String>,
    /// Name of the target that it runs; null when that is not known.
    pub target: Option<String>,
    /// Whether no newer target has its tag and fits its hardware.
    pub up_to_date: bool,
    /// Apps that it says it runs.
    pub apps: Vec<String>,
    /// What hardware it is, in the words of targets; null fits every target.
    pub hardware_id: Option<String>,
    /// How it is reached, in its own words; null when it has not said.
    pub network: Option<DeviceNetwork>,
}

/// How a device is reached, in its own words. Texts may be empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceNetwork {
    /// Its name.
    pub hostname: String,
    /// Its IPv4 address.
    pub ip: String,
    /// Its MAC address.
    pub mac: String,
}

/// Devices that were deleted, whose certificates are refused.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeniedDeviceList {
    /// In the order of their UUIDs.
    pub devices: Vec<DeniedDeviceStatus>,
    /// Where to continue, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A device that was deleted, whose certificate is refused.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeniedDeviceStatus {
    /// Its UUID, the common name of its certificate.
    pub uuid: String,
    /// What it was called.
    pub name: String,
    /// The factory that it was in, which is a storage group.
    pub factory: Named<StorageGroupId>,
    /// Name of the user who deleted it; null when there is no such user any more.
    pub denied_by: Option<String>,
    /// When it was deleted.
    #[schemars(with = "Rfc3339")]
    pub denied: String,
}
