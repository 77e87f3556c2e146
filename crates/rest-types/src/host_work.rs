//! What a machine does for its host, over the gateway of devices.

use std::collections::BTreeMap;

use foghorn_types::HostId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::native::{SnapinNext, TrackedAction};

/// What is to be done on a machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostWork {
    /// The host that the machine is.
    pub host: HostId,
    /// Name that the machine is to have; null when it keeps its own.
    pub host_name: Option<String>,
    /// Whether it is to be switched off or restarted now.
    pub power: Option<HostPower>,
    /// Id with which `power` is acknowledged.
    pub power_id: Option<String>,
    /// The next snapin.
    pub snapin: SnapinNext,
    /// What is switched on for this host.
    pub modules: HostModules,
}

/// What a machine is to do with itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostPower {
    /// Start again.
    Reboot,
    /// Switch off.
    Shutdown,
}

/// What is switched on for a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostModules {
    /// It runs its snapins.
    pub snapins: bool,
    /// It follows power rules.
    pub power: bool,
    /// It takes the name of its host.
    pub host_name: bool,
    /// It tells who logs in and out.
    pub users: bool,
    /// It tells what it is made of.
    pub inventory: bool,
}

/// What a machine is made of, by the names of FOG's inventory.
pub type HostInventory = BTreeMap<String, String>;

/// Log-ins and log-outs on a machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostUsers {
    /// The oldest first, 256 at most.
    pub events: Vec<HostUserEvent>,
}

/// A log-in, a log-out or a start of a machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostUserEvent {
    /// What has happened.
    pub action: TrackedAction,
    /// Name of the user.
    pub user: String,
    /// When, in the form of RFC 3339.
    pub time: String,
    /// Made by the machine, the same for the same event.
    pub id: String,
}
