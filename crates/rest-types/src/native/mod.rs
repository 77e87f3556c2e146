//! Bodies of Foghorn's own routes under `/foghorn/v1`.
//!
//! Times are RFC 3339 in UTC, sizes are bytes, ids are numbers.

mod boot;
mod cold;
mod devices;
mod factory_tokens;
mod groups;
mod host_tokens;
mod hosts;
mod identity;
mod images;
mod jobs;
mod join_tokens;
mod nodes;
mod power;
mod replication;
mod ring_policies;
mod schedules;
mod sites;
mod snapins;
mod tasks;

use foghorn_types::{HostId, NodeName, StorageGroupId, StorageNodeId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

pub use self::boot::{
    BootTokensRequest, BootTokensResponse, HostBootToken, HostWoken, NamedHost, WakeRequest,
    WakeResponse,
};
pub use self::cold::{ColdCopy, ColdImage, ColdStatus};
pub use self::devices::{
    DeniedDeviceList, DeniedDeviceStatus, DeviceBinding, DeviceList, DeviceNetwork, DeviceState,
    DeviceStatus,
};
pub use self::factory_tokens::{
    FactoryTokenCreated, FactoryTokenList, FactoryTokenStatus, NewFactoryToken,
};
pub use self::groups::{GroupList, GroupStatus};
pub use self::host_tokens::{HostTokenCreated, HostTokenList, HostTokenStatus, NewHostToken};
pub use self::hosts::{HostList, HostStatus};
pub use self::identity::IdentityEdit;
pub use self::images::{
    AdoptRequest, DamagedContent, DropRequest, ImageContent, ImageDisk, ImageList, ImageNote,
    ImageNoteKind, ImageStatus, ImageVersion, ImageVersions, Orphan, OrphanList, UndoRequest,
    VersionState,
};

pub use self::jobs::{DamagedChunk, DamagedRecord, JobCreated, JobStatus, SweepRequest};
pub use self::join_tokens::{JoinTokenCreated, JoinTokenList, JoinTokenStatus, NewJoinToken};
pub use self::nodes::{
    CordonRequest, NodeCheck, NodeCordon, NodeList, NodeSilence, NodeStatus, SilenceState,
};
pub use self::power::{PowerAction, PowerActions};
pub use self::replication::{
    GroupLimit, LimitRequest, NodeLimit, Replica, ReplicaProgress, ReplicaRequest, ReplicaState,
    ReplicationLimits, ReplicationList, ReplicationQuery,
};
pub use self::ring_policies::{
    RingDevice, RingLeftOut, RingMode, RingPolicyEdit, RingPolicyStatus,
};
pub use self::schedules::{ScheduleList, ScheduleStatus, ScheduleTarget};
pub use self::sites::{SiteEdit, SiteList, SiteStatus};
pub use self::snapins::{SnapinFileStatus, SnapinNext, SnapinResult, SnapinRun};
pub use self::tasks::{
    TaskBrief, TaskList, TaskMulticast, TaskPhase, TaskProgress, TaskServedFrom, TaskStatus,
    TaskWait, TaskWaitKind, TaskWork,
};

/// A request for a boot token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootTokenRequest {
    /// Lifetime of the token in seconds, 1 to 86400; default: that of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub ttl_seconds: Option<u32>,
}

/// A boot token for the active imaging task of a host.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct BootTokenResponse {
    /// The complete token. Shown once, valid for one check-in.
    pub token: String,
    /// Id of the host.
    pub host: HostId,
    /// Id of the task.
    pub task: TaskId,
    /// When the token expires.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}

impl std::fmt::Debug for BootTokenResponse {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootTokenResponse")
            .field("host", &self.host)
            .field("task", &self.task)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A storage node that will enrol; it is created if no node has this name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    /// Name of the node: one DNS label, stored in lower case.
    pub name: NodeName,
    /// Storage group of a new node; default: the default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<StorageGroupId>,
    /// Lifetime of the token in seconds, 1 to 604800; default: that of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_seconds: Option<u32>,
}

/// A join token for the agent of a storage node.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenResponse {
    /// The complete token. Shown once, valid for one enrolment.
    pub token: String,
    /// Id of the node.
    pub node: StorageNodeId,
    /// Name of the node.
    pub name: NodeName,
    /// When the token expires.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}

impl std::fmt::Debug for JoinTokenResponse {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTokenResponse")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A log-in or log-out of a user on a host, or the start of the host's client.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserTrackingReport {
    /// What happened.
    pub action: TrackedAction,
    /// Name of the user on the host, 1 to 50 characters.
    #[schemars(length(min = 1, max = 50))]
    pub user: String,
    /// When it happened; default: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub time: Option<String>,
    /// Further details; truncated to 250 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The action of a user of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackedAction {
    /// Logged in.
    Login,
    /// Logged out.
    Logout,
    /// The host's client has started.
    Start,
}

/// The row in which a report was stored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserTrackingStored {
    /// Id of the row in `/fog/usertracking`.
    #[schemars(range(min = 1))]
    pub id: u32,
}

/// An object of another class, with its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Named<Id> {
    /// Id of the object.
    pub id: Id,
    /// Name of the object; empty when it no longer exists.
    pub name: String,
}
