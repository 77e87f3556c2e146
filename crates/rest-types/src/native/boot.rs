//! Starting machines by hand: boot tokens of many hosts, and waking them.

use foghorn_types::{GroupId, HostId, MacAddress, NodeName, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

/// A request for boot tokens of several hosts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootTokensRequest {
    /// The hosts; this or `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
    /// All hosts of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Lifetime of the tokens in seconds, 1 to 86400, with a code 1 to 900; default: that of the
    /// server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub ttl_seconds: Option<u32>,
    /// Also one token that is good for every one of the hosts, once each.
    #[serde(default)]
    pub room: bool,
    /// Also a short code that a person can type at the machines, good for every one of the hosts,
    /// once each.
    #[serde(default)]
    pub code: bool,
}

/// Boot tokens of several hosts. Shown once. A host can check in once, with whichever of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BootTokensResponse {
    /// URL at which machines reach the controller; absent when it only knows addresses that other
    /// machines cannot use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// When the tokens expire.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
    /// A token of each host that has an active imaging task.
    pub hosts: Vec<HostBootToken>,
    /// Hosts without an active imaging task, which got no token.
    pub without_task: Vec<NamedHost>,
    /// One token for all of these hosts, if it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_token: Option<String>,
    /// The short code, if it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The boot token of one host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostBootToken {
    /// Id of the host.
    pub host: HostId,
    /// Name of the host.
    pub name: String,
    /// Its first MAC address.
    pub mac: Option<MacAddress>,
    /// Id of the task.
    pub task: TaskId,
    /// The complete token, valid for one check-in of this host.
    pub token: String,
}

/// A host by id and name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NamedHost {
    /// Id of the host.
    pub host: HostId,
    /// Name of the host.
    pub name: String,
}

/// A request to wake hosts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WakeRequest {
    /// The hosts; this or `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
    /// All hosts of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
}

/// What became of the request to wake hosts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WakeResponse {
    /// In the order of the request.
    pub hosts: Vec<HostWoken>,
}

/// What became of the request to wake one host. Machines do not answer: whether it wakes is not
/// known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostWoken {
    /// Id of the host.
    pub host: HostId,
    /// Name of the host.
    pub name: String,
    /// MAC addresses to which the packets go; empty when none is known, or all are to be ignored.
    pub macs: Vec<MacAddress>,
    /// Storage nodes that send them; empty when none was online.
    pub nodes: Vec<NodeName>,
    /// Whether one of these nodes is at the site of the host: in the storage group of its image.
    /// Packets from elsewhere reach it only if the networks pass them on.
    pub at_site: bool,
}
