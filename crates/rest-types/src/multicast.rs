//! Bodies of `/foghorn/v1/multicast-sessions`: deploys of one image that share a stream.

use foghorn_types::{ByteCount, GroupId, HostId, ImageId, SessionId, StorageNodeId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::native::Named;
use crate::schema::Rfc3339;

/// A deploy for every free host of a group, or for the given hosts, with one stream. Hosts with
/// different images get a session for each image.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MulticastRequest {
    /// Name of its tasks; default: "Multicast".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id of the group; either this or `hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Ids of the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
    /// Start when this number of hosts have checked in; default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub start_receivers: Option<u32>,
    /// Start at this time, with the hosts that have checked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub start_at: Option<String>,
    /// Start at the latest this long after the first host has checked in; default: the setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 86_400))]
    pub max_wait_seconds: Option<u32>,
    /// Maximum rate on the wire; 0 for no limit; default: the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_per_second: Option<u64>,
    /// Wake the hosts first.
    #[serde(default)]
    pub wake: bool,
    /// Power the hosts off afterwards.
    #[serde(default)]
    pub shutdown: bool,
}

/// The created sessions and tasks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastCreated {
    /// Ids of the sessions, one for each image.
    pub sessions: Vec<SessionId>,
    /// Ids of their tasks.
    pub tasks: Vec<TaskId>,
    /// Hosts that got no task.
    #[serde(default)]
    pub left_out: Vec<HostLeftOut>,
}

/// A host that an order for several left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostLeftOut {
    /// Id of the host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Why it got no task.
    pub reason: String,
}

/// What to change; absent members stay as they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MulticastEdit {
    /// Maximum rate on the wire; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_per_second: Option<u64>,
    /// Start now, without waiting for further hosts.
    #[serde(default)]
    pub start_now: bool,
}

/// Multicast sessions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastList {
    /// Newest first.
    pub sessions: Vec<MulticastSummary>,
}

/// State of a multicast session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MulticastPhase {
    /// Waits for a group, for its storage node, for receivers, or for its time.
    Waiting,
    /// The image is being sent.
    Sending,
    /// Second pass: what several receivers lack.
    Repairing,
    /// Completed.
    Complete,
    /// Cancelled by a user.
    Cancelled,
}

impl MulticastPhase {
    /// Whether the session has ended, in whatever way.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled)
    }

    /// As in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Repairing => "repairing",
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A multicast session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastSummary {
    /// Id of the session.
    pub session: SessionId,
    /// Name under which hosts join; empty once it was cancelled.
    pub name: String,
    /// Its state.
    pub phase: MulticastPhase,
    /// What it waits for, as text.
    pub waiting_for: Option<String>,
    /// Its image; absent for a session that was created without one.
    pub image: Option<Named<ImageId>>,
    /// Hosts with a task in it.
    pub receivers: u32,
    /// Of these, those that have checked in.
    pub joined: u32,
    /// Of these, those that are complete.
    pub done: u32,
    /// Of these, those that do not currently receive the group.
    pub by_unicast: u32,
    /// Progress in per cent of the slowest active host.
    pub percent: u8,
    /// Current rate on the wire, of all nodes together.
    pub rate_bytes_per_second: ByteCount,
    /// When it was created.
    #[schemars(with = "Option<Rfc3339>")]
    pub created: Option<String>,
    /// When it completed.
    #[schemars(with = "Option<Rfc3339>")]
    pub completed: Option<String>,
}

/// A multicast session with its senders and receivers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastStatus {
    /// The session.
    pub summary: MulticastSummary,
    /// Limit of this session; 0 for no limit, absent for the configured one.
    pub max_rate_bytes_per_second: Option<u64>,
    /// Starts when this number of hosts have checked in.
    pub start_receivers: Option<u32>,
    /// Starts at this time.
    #[schemars(with = "Option<Rfc3339>")]
    pub start_at: Option<String>,
    /// Starts at the latest this long after the first host has checked in.
    pub max_wait_seconds: Option<u64>,
    /// Nodes that send it, each on its own LAN.
    pub senders: Vec<MulticastSender>,
    /// In the order in which their tasks were created.
    pub receivers: Vec<MulticastReceiver>,
}

/// A session on one storage node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastSender {
    /// The node.
    pub node: Named<StorageNodeId>,
    /// `ADDRESS:PORT` of the stream.
    pub group: String,
    /// Configured sending interface; empty for the one with its QUIC address.
    pub interface: String,
    /// `waiting`, `sending`, `repairing` or `ended`; absent until it reports.
    pub phase: Option<String>,
    /// Current rate on the wire.
    pub rate_bytes_per_second: ByteCount,
    /// Bytes of chunks that were sent for the first time.
    pub payload_bytes: ByteCount,
    /// All bytes that were sent to the group.
    pub wire_bytes: ByteCount,
    /// Part of `wire_bytes`.
    pub parity_bytes: ByteCount,
}

/// How a host gets its image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MulticastPath {
    /// Waits for its machine, or for the start.
    Waiting,
    /// From the stream.
    Multicast,
    /// By unicast.
    Unicast,
    /// Complete.
    Done,
    /// Failed or was cancelled.
    Failed,
}

impl MulticastPath {
    /// As in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A host of a multicast session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastReceiver {
    /// Id of its task.
    pub task: TaskId,
    /// The host.
    pub host: Named<HostId>,
    /// Name of the storage node that serves it now.
    pub node: Option<String>,
    /// How it gets its image.
    pub path: MulticastPath,
    /// Why it is served by unicast, or has failed.
    pub reason: Option<String>,
    /// Progress in per cent.
    pub percent: u8,
    /// Bytes of the image that are complete.
    pub bytes_done: ByteCount,
    /// Total bytes of the image.
    pub bytes_total: ByteCount,
    /// Speed in bytes per second.
    pub rate_bytes_per_second: ByteCount,
    /// Recent packet loss in millionths.
    pub loss_ppm: u32,
    /// Packets repaired by parity.
    pub parity_used: u64,
    /// Packets that do not belong to the session.
    pub forged: u64,
    /// The bottleneck: network, decompress or disk.
    pub limiting_stage: Option<String>,
    /// Estimated seconds until the end.
    pub eta_seconds: Option<u64>,
    /// Whether it would be the next to be moved to unicast.
    pub next_unicast: bool,
}
