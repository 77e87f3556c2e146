//! Copies of images on storage nodes.

use foghorn_types::{ByteCount, ImageId, ManifestId, StorageGroupId, StorageNodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ColdCopy, Named};
use crate::schema::Rfc3339;

/// Which image is asked about.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReplicationQuery {
    /// Only this image; default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
}

/// The content of every image, on every storage node that holds it or is to hold it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplicationList {
    /// By image and node.
    pub replicas: Vec<Replica>,
}

/// The content of an image on a storage node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Replica {
    /// The image.
    pub image: Named<ImageId>,
    /// The storage node.
    pub node: Named<StorageNodeId>,
    /// BLAKE3 of the manifest of the content.
    pub manifest: ManifestId,
    /// How it is there.
    pub state: ReplicaState,
    /// Whether the node is to hold it: it is enabled, and in a storage group of the image.
    pub wanted: bool,
    /// Why it is not there, or does not count; empty when it does, or comes.
    pub reason: String,
    /// Progress of the copy, or of its verification; absent when neither is being made, or nothing is
    /// known of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ReplicaProgress>,
    /// How it is in the bucket of the node; absent for a node without one, and before it holds the
    /// content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdCopy>,
    /// When it is tried again; absent unless the last attempt has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub retry: Option<String>,
}

/// How content is on a storage node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Not there.
    Missing,
    /// Being copied.
    Copying,
    /// There, and every chunk was verified there.
    Ready,
    /// There, and does not count until the node has verified it again: something happened to its
    /// store, or it has just come back.
    Verifying,
    /// There, with chunks that are damaged.
    Damaged,
    /// The last copy has failed; another one follows.
    Failed,
    /// Somebody has stopped the copy.
    Stopped,
}

impl ReplicaState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Copying => "copying",
            Self::Ready => "ready",
            Self::Verifying => "verifying",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// How a copy is doing, as its node says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaProgress {
    /// Chunks that were verified on the node.
    pub verified: u64,
    /// Chunks of the image; absent until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Chunks that were not there before, of those verified.
    pub fetched: u64,
    /// Compressed bytes that came over the network.
    pub bytes: ByteCount,
    /// Of these bytes, in a second, lately.
    pub rate: ByteCount,
    /// Name of the storage node that it is copied from; absent while none answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Which copy is stopped or started.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicaRequest {
    /// The image.
    pub image: ImageId,
    /// The storage node that it is copied to.
    pub node: StorageNodeId,
}

/// How fast storage nodes may copy images.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplicationLimits {
    /// Of storage groups: for each of their nodes that has none of its own.
    pub groups: Vec<GroupLimit>,
    /// By node, also those without a limit.
    pub nodes: Vec<NodeLimit>,
}

/// The limit of a storage group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupLimit {
    /// The storage group.
    pub group: Named<StorageGroupId>,
    /// Rates by the time of the day.
    pub timetable: String,
}

/// The limit of a storage node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeLimit {
    /// The storage node.
    pub node: Named<StorageNodeId>,
    /// Rates by the time of the day; absent without a timetable of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timetable: Option<String>,
    /// What holds now, of the timetable of the node or its group and of the node's `bandwidth`:
    /// bytes in a second that it may give, and as many that it may take. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<ByteCount>,
}

/// Sets or removes the limit of a storage node or of a storage group.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRequest {
    /// The storage node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<StorageNodeId>,
    /// The storage group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<StorageGroupId>,
    /// Rates by the time of the day in the time zone of the site, such as `22:00-06:00 unlimited,
    /// else 50m`; the limit is removed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timetable: Option<String>,
}
