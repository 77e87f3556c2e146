//! Jobs of storage nodes, and what they find.

use foghorn_types::{ByteCount, FileId, ImageId, ManifestId, SnapinId, StorageNodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// A job of a storage node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobCreated {
    /// Id of the job.
    pub job: u64,
}

/// A job of a storage node and its progress.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    /// Id of the job.
    pub job: u64,
    /// The storage node.
    pub node: Named<StorageNodeId>,
    /// Kind of the job.
    #[schemars(extend("enum" = ["scrub", "sweep", "verify", "drop", "adopt"]))]
    pub work: String,
    /// When it was created.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// Whether it has ended.
    pub done: bool,
    /// Why it could not run.
    pub error: Option<String>,
    /// Chunks checked so far.
    pub chunks_checked: u64,
    /// Number of chunks to check.
    pub chunks_total: u64,
    /// What was found.
    pub damaged: Vec<DamagedChunk>,
    /// Manifests, names of images and records of files that cannot be read.
    #[serde(default)]
    pub damaged_records: Vec<DamagedRecord>,
    /// Bytes by which a sweep made the node's packs smaller.
    #[serde(default)]
    pub freed_bytes: ByteCount,
}

/// Removes what no image on a storage node needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepRequest {
    /// Also what became useless lately, such as by a capture that failed; otherwise that stays for
    /// the node's time of grace.
    #[serde(default)]
    pub now: bool,
}

/// A chunk whose bytes are wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DamagedChunk {
    /// Expected BLAKE3 hash.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub chunk: String,
    /// The problem.
    pub problem: String,
    /// Images that contain it.
    pub images: Vec<Named<ImageId>>,
    /// Snapins whose files contain it.
    #[serde(default)]
    pub snapins: Vec<Named<SnapinId>>,
}

/// Something that says what an image or a file is, and cannot be read. Exactly one of manifest, file
/// and path is there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DamagedRecord {
    /// The manifest of an image.
    pub manifest: Option<ManifestId>,
    /// The list of the chunks of a file.
    pub file: Option<FileId>,
    /// The snapins whose file it is.
    pub snapins: Vec<Named<SnapinId>>,
    /// The name of an image on the node.
    pub path: Option<String>,
    /// The problem.
    pub problem: String,
    /// Images that it is part of.
    pub images: Vec<Named<ImageId>>,
}
