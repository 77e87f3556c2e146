//! Bodies about what following a tag does at a site.

use foghorn_types::{HostId, StorageGroupId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// What happens to devices whose tag has a newer target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RingMode {
    /// They are shown as not up to date, and nothing else happens.
    Manual,
    /// They are imaged with it.
    Auto,
}

/// What following a tag does at a site, and how far it is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RingPolicyStatus {
    /// The site, which is a storage group, and a factory for its devices.
    pub site: Named<StorageGroupId>,
    /// What happens to devices whose tag has a newer target.
    pub mode: RingMode,
    /// When devices may be imaged, such as `mon,tue,wed,thu,fri 22:00-05:00`, by the clocks of the site;
    /// absent: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Devices that are imaged at a time, those included whose machine has not come yet.
    pub at_most: u32,
    /// Failures one after the other after which nothing more is ordered.
    pub stop_after: u32,
    /// Minutes that a machine has to come; then others have their turn.
    pub patience_minutes: u32,
    /// Whether devices count that are bound to their host only because they say that they have its
    /// address, or the UUID of its hardware.
    pub by_address: bool,
    /// Hosts that are never imaged because of a tag.
    pub protected: Vec<Named<HostId>>,
    /// Whether devices may be imaged at this time, as far as the window is concerned.
    pub open: bool,
    /// Orders that failed since the last one that went well.
    pub failures: u32,
    /// Since when nothing is ordered any more because of failures, until somebody resumes; absent: it
    /// goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub held: Option<String>,
    /// Devices that are being imaged.
    pub under_way: Vec<RingDevice>,
    /// Devices that would be imaged next.
    pub due: u32,
    /// The other devices of the site, by why they are not.
    pub left_out: Vec<RingLeftOut>,
}

/// A device that is being imaged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RingDevice {
    /// Its UUID.
    pub uuid: String,
    /// Its name; empty when it was deleted.
    pub name: String,
    /// The task that images it.
    pub task: TaskId,
    /// Name of the target.
    pub target: String,
    /// When it was ordered.
    #[schemars(with = "Rfc3339")]
    pub ordered: String,
    /// Whether an operator has ordered it for this device.
    pub by_hand: bool,
}

/// Devices that are not imaged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RingLeftOut {
    /// Why not.
    pub why: String,
    /// How many they are.
    pub devices: u32,
}

/// A change of what following a tag does; what is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RingPolicyEdit {
    /// What happens to devices whose tag has a newer target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RingMode>,
    /// When devices may be imaged: days and times, such as `mon-fri 22:00-05:00` or `daily 01:00-04:30`;
    /// empty: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Devices that are imaged at a time, 1 to 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub at_most: Option<u32>,
    /// Failures one after the other after which nothing more is ordered, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub stop_after: Option<u32>,
    /// Minutes that a machine has to come, 1 to 10080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_080))]
    pub patience_minutes: Option<u32>,
    /// Whether devices count that are bound to their host only because they say that they have its
    /// address, or the UUID of its hardware. Whoever has the certificate of a device can say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_address: Option<bool>,
    /// All hosts that are never imaged because of a tag, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<Vec<HostId>>,
}
