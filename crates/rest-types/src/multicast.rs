//! Bodies of `/foghorn/v1/multicast-sessions`: deploys of one image that share a stream.

use foghorn_types::{ByteCount, GroupId, HostId, ImageId, StorageNodeId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::native::Named;
use crate::schema::Rfc3339;

/// A deploy for every free host of a group, or for the hosts named, with one stream. Hosts with
/// different images make a session for each image.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MulticastRequest {
    /// What its tasks are called; "Multicast" when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of the group; either this or `hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Numbers of the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
    /// Start when so many hosts are there; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub start_receivers: Option<u32>,
    /// Start then, whoever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub start_at: Option<String>,
    /// Start so long after the first receiver has come at the latest; the setting's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 86_400))]
    pub max_wait_seconds: Option<u32>,
    /// On the wire; 0 for no limit, the configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_per_second: Option<u64>,
    /// Wake the hosts first.
    #[serde(default)]
    pub wake: bool,
    /// Power the hosts off afterwards.
    #[serde(default)]
    pub shutdown: bool,
}

/// What was ordered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastCreated {
    /// Numbers of the sessions, one for each image.
    #[schemars(inner(range(min = 1)))]
    pub sessions: Vec<u32>,
    /// Numbers of their tasks.
    pub tasks: Vec<TaskId>,
}

/// What is to change; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MulticastEdit {
    /// On the wire; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_per_second: Option<u64>,
    /// Wait for no one any more.
    #[serde(default)]
    pub start_now: bool,
}

/// Multicast sessions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastList {
    /// The newest first.
    pub sessions: Vec<MulticastSummary>,
}

/// How far a multicast session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MulticastPhase {
    /// Waits for a group, for its storage node, for receivers, or for its time.
    Waiting,
    /// The image is being sent.
    Sending,
    /// Second pass: what several receivers lack.
    Repairing,
    /// Ended well.
    Complete,
    /// Was ended by somebody.
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
    /// Number of the session.
    #[schemars(range(min = 1))]
    pub session: u32,
    /// Name under which hosts join; empty once it was cancelled.
    pub name: String,
    /// How far it is.
    pub phase: MulticastPhase,
    /// What it waits for, in words.
    pub waiting_for: Option<String>,
    /// Its image; absent for a session that somebody made without one.
    pub image: Option<Named<ImageId>>,
    /// Hosts with a task in it.
    pub receivers: u32,
    /// Of these, those that have checked in.
    pub joined: u32,
    /// Of these, those that are complete.
    pub done: u32,
    /// Of these, those that do not listen to the group now.
    pub by_unicast: u32,
    /// How much is done, of the slowest host that is under way.
    pub percent: u8,
    /// On the wire at present, of all nodes together.
    pub rate_bytes_per_second: ByteCount,
    /// When it was ordered.
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
    /// Set for this session; 0 for no limit, absent for the configured one.
    pub max_rate_bytes_per_second: Option<u64>,
    /// Starts when so many hosts are there.
    pub start_receivers: Option<u32>,
    /// Starts then.
    #[schemars(with = "Option<Rfc3339>")]
    pub start_at: Option<String>,
    /// Starts so long after the first host has come at the latest.
    pub max_wait_seconds: Option<u64>,
    /// Nodes that send it, each on its own LAN.
    pub senders: Vec<MulticastSender>,
    /// In the order in which they got their tasks.
    pub receivers: Vec<MulticastReceiver>,
}

/// A session on one storage node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MulticastSender {
    /// The node.
    pub node: Named<StorageNodeId>,
    /// `ADDRESS:PORT` that the stream goes to.
    pub group: String,
    /// Interface that it was told to send from; empty for the one with its QUIC address.
    pub interface: String,
    /// `waiting`, `sending`, `repairing` or `ended`; absent until it reports.
    pub phase: Option<String>,
    /// On the wire at present.
    pub rate_bytes_per_second: ByteCount,
    /// Of chunks, sent for the first time.
    pub payload_bytes: ByteCount,
    /// All that was sent to the group.
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
    /// By a connection of its own.
    Unicast,
    /// Has all of it.
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
    /// Number of its task.
    pub task: TaskId,
    /// The host.
    pub host: Named<HostId>,
    /// Name of the storage node that serves it now.
    pub node: Option<String>,
    /// How it gets its image.
    pub path: MulticastPath,
    /// Why it is served by unicast, or has failed.
    pub reason: Option<String>,
    /// How much is done.
    pub percent: u8,
    /// Bytes of the image that are done.
    pub bytes_done: ByteCount,
    /// Bytes of the image to do.
    pub bytes_total: ByteCount,
    /// Speed in bytes per second.
    pub rate_bytes_per_second: ByteCount,
    /// Packets lost of a million, lately.
    pub loss_ppm: u32,
    /// Packets repaired by parity.
    pub parity_used: u64,
    /// Packets that were not ours.
    pub forged: u64,
    /// What limits the speed: network, decompress or disk.
    pub limiting_stage: Option<String>,
    /// Seconds until the end.
    pub eta_seconds: Option<u64>,
    /// Whether it would be the next to be moved to unicast.
    pub next_unicast: bool,
}
