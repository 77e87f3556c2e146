//! Bodies of `/foghorn/v1/multicast-sessions`: deploys of one image that share a stream.

use foghorn_types::{ByteCount, GroupId, HostId, ImageId, StorageNodeId, TaskId};
use serde::{Deserialize, Serialize};

use crate::native::Named;

/// `POST /foghorn/v1/multicast-sessions` → 201 [`MulticastCreated`]. A deploy for every free host of a group, or for the named
/// hosts; hosts with different images make a session for each image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MulticastRequest {
    /// What its tasks are called; "Multicast" when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Either this or `hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
    /// Start when so many are there; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_receivers: Option<u32>,
    /// Start then, whoever is there. RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,
    /// Start so long after the first receiver has come at the latest; the setting's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MulticastCreated {
    /// Numbers of the sessions, one for each image.
    pub sessions: Vec<u32>,
    pub tasks: Vec<TaskId>,
}

/// `PATCH /foghorn/v1/multicast-sessions/{id}` → [`MulticastStatus`]. What is absent stays. 409 when the session has ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MulticastEdit {
    /// On the wire; 0 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_per_second: Option<u64>,
    /// Wait for no one any more.
    #[serde(default)]
    pub start_now: bool,
}

/// `GET /foghorn/v1/multicast-sessions`: those under way, with `?all=true` the ended ones too. The newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MulticastList {
    pub sessions: Vec<MulticastSummary>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MulticastPhase {
    /// For a group, for its storage node, for receivers, or for its time.
    Waiting,
    Sending,
    /// Second pass: what several receivers lack.
    Repairing,
    Complete,
    Cancelled,
}

impl MulticastPhase {
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MulticastSummary {
    pub session: u32,
    /// Name under which hosts join; empty once it was cancelled.
    pub name: String,
    pub phase: MulticastPhase,
    /// What it waits for, in words.
    pub waiting_for: Option<String>,
    /// Absent for a session that somebody made without one.
    pub image: Option<Named<ImageId>>,
    /// Hosts with a task in it.
    pub receivers: u32,
    /// Of these, those that have checked in.
    pub joined: u32,
    pub done: u32,
    /// Of these, those that do not listen to the group now.
    pub by_unicast: u32,
    /// Of the slowest that is under way.
    pub percent: u8,
    /// On the wire at present, of all nodes together.
    pub rate_bytes_per_second: ByteCount,
    pub created: Option<String>,
    pub completed: Option<String>,
}

/// `GET /foghorn/v1/multicast-sessions/{id}`. 404 when there is no such session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MulticastStatus {
    pub summary: MulticastSummary,
    /// Set for this session; 0 for no limit, absent for the configured one.
    pub max_rate_bytes_per_second: Option<u64>,
    pub start_receivers: Option<u32>,
    pub start_at: Option<String>,
    pub max_wait_seconds: Option<u64>,
    /// Nodes that send it, each on its own LAN.
    pub senders: Vec<MulticastSender>,
    /// In the order in which they got their tasks.
    pub receivers: Vec<MulticastReceiver>,
}

/// The session on one storage node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MulticastSender {
    pub node: Named<StorageNodeId>,
    /// `ADDRESS:PORT` that the stream goes to.
    pub group: String,
    /// Interface that it was told to send from; empty for the one with its QUIC address.
    pub interface: String,
    /// `waiting`, `sending`, `repairing` or `ended`; absent until it reports.
    pub phase: Option<String>,
    pub rate_bytes_per_second: ByteCount,
    /// Of chunks, sent for the first time.
    pub payload_bytes: ByteCount,
    pub wire_bytes: ByteCount,
    /// Part of `wire_bytes`.
    pub parity_bytes: ByteCount,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MulticastPath {
    /// For its machine, or for the start.
    Waiting,
    Multicast,
    Unicast,
    Done,
    /// Or was cancelled.
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

/// One host of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MulticastReceiver {
    pub task: TaskId,
    pub host: Named<HostId>,
    /// Name of the storage node that serves it now.
    pub node: Option<String>,
    pub path: MulticastPath,
    /// Why it is served by unicast, or has failed.
    pub reason: Option<String>,
    pub percent: u8,
    pub bytes_done: ByteCount,
    pub bytes_total: ByteCount,
    pub rate_bytes_per_second: ByteCount,
    /// Packets lost of a million, lately.
    pub loss_ppm: u32,
    /// Packets repaired by parity.
    pub parity_used: u64,
    /// Packets that were not ours.
    pub forged: u64,
    /// `network`, `decompress` or `disk`.
    pub limiting_stage: Option<String>,
    pub eta_seconds: Option<u64>,
    /// Would be the next to be moved to unicast.
    pub next_unicast: bool,
}
