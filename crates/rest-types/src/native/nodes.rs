//! Bodies about storage nodes.

use foghorn_types::{ByteCount, ImageId, StorageGroupId, StorageNodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ColdStatus, DamagedContent, Named};
use crate::schema::Rfc3339;

/// The current state of storage nodes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeList {
    /// In the order of their ids, without the names of their images.
    pub nodes: Vec<NodeStatus>,
    /// Where to continue, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A storage node whose agent is not connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSilence {
    /// What it is taken for.
    pub state: SilenceState,
    /// Since when it is that.
    #[schemars(with = "Rfc3339")]
    pub since: String,
}

/// What a storage node whose agent is not connected is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    /// It may be back in a moment: its tasks wait for it.
    Suspected,
    /// It has been silent for longer than `limits.node_grace_seconds`: its deploys go to other nodes.
    Failed,
}

/// A storage node that gets no new tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeCordon {
    /// Since when.
    #[schemars(with = "Rfc3339")]
    pub since: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// Why a node is to get no new tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CordonRequest {
    /// Shown with the node; may be empty.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub reason: String,
}

/// How the check of everything that a node stores is getting on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeCheck {
    /// Whether one was begun and has not come to its end.
    pub running: bool,
    /// Parts of the store that it has checked.
    pub done: u32,
    /// Parts of the store.
    pub total: u32,
    /// When the last one came to its end; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub last: Option<String>,
    /// Damaged chunks that the last one found.
    pub damaged: u64,
    /// What it waits for, if it does not go on now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waits_for: String,
}

/// A storage node as last reported by its agent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// Id of the node.
    pub id: StorageNodeId,
    /// Name of the node.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Its storage group; absent for none.
    #[serde(default)]
    pub storage_group: Option<Named<StorageGroupId>>,
    /// Whether tasks may use it.
    #[serde(default)]
    pub enabled: bool,
    /// Since when and why it gets no new tasks, by the word of an operator.
    #[serde(default)]
    pub cordoned: Option<NodeCordon>,
    /// Since when its links are refused, because two machines use its certificate.
    #[serde(default)]
    #[schemars(with = "Option<Rfc3339>")]
    pub cloned: Option<String>,
    /// Whether it receives the captures of its storage group.
    #[serde(default)]
    pub master: bool,
    /// Maximum number of concurrent transfers.
    #[serde(default)]
    pub max_clients: u32,
    /// Whether its agent is connected to a controller. The figures below are its last report, 0
    /// before the first.
    pub online: bool,
    /// What the silence of its agent means; absent while it is connected, and for a node that has not
    /// joined.
    #[serde(default)]
    pub silent: Option<NodeSilence>,
    /// When it was last connected, now if it is; absent if not since the controller started.
    #[serde(default)]
    #[schemars(with = "Option<Rfc3339>")]
    pub last_seen: Option<String>,
    /// Host and UDP port where clients reach it, as its agent reported; empty before that.
    #[serde(default)]
    pub address: String,
    /// All addresses where clients reach it (`host:port`, UDP), best first.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Address that was entered for display.
    #[serde(default)]
    pub ip: String,
    /// Name and version of its agent's software; empty before its first connection.
    #[serde(default)]
    pub software: String,
    /// When its agent enrolled, or when it was revoked; absent before that.
    #[serde(default)]
    #[schemars(with = "Option<Rfc3339>")]
    pub enrolled: Option<String>,
    /// Whether its certificates are refused until it enrols again.
    #[serde(default)]
    pub revoked: bool,
    /// When the certificate with which its agent connected ends; agents renew it in time. Absent if
    /// it has not connected since the controller started.
    #[serde(default)]
    #[schemars(with = "Option<Rfc3339>")]
    pub certificate_ends: Option<String>,
    /// Size of its file system in bytes.
    pub disk_total_bytes: ByteCount,
    /// Free bytes there.
    pub disk_free_bytes: ByteCount,
    /// Captures are refused when less than this would stay free.
    #[serde(default)]
    pub keep_free_bytes: ByteCount,
    /// Where it keeps chunks.
    #[serde(default)]
    pub chunks_path: String,
    /// Why it cannot store chunks now, and what to do.
    #[serde(default)]
    pub problem: Option<String>,
    /// What it cannot give out whole.
    #[serde(default)]
    pub damaged: Vec<DamagedContent>,
    /// How many images, in any version, it has to verify again before they count as copies there.
    #[serde(default)]
    pub unverified_count: u32,
    /// The check that it makes of everything by and by; absent when nothing is known of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<NodeCheck>,
    /// Compressed bytes of all chunks that it holds.
    pub stored_bytes: ByteCount,
    /// Number of chunks that it holds.
    pub chunks: u64,
    /// Number of current transfers.
    pub active_transfers: u32,
    /// Its images in a bucket of S3-compatible storage; absent for a node without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdStatus>,
    /// How many images it holds completely, in their present version.
    #[serde(default)]
    pub image_count: u32,
    /// These images; absent in lists.
    #[serde(default)]
    pub images: Option<Vec<Named<ImageId>>>,
}
