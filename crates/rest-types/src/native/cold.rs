//! Bodies about cold copies: images in a bucket of S3-compatible storage.

use foghorn_types::{ByteCount, ImageId, ManifestId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// The bucket of a storage node, as last reported by its agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ColdStatus {
    /// The bucket and where it is.
    pub bucket: String,
    /// Of the names of its objects.
    pub prefix: String,
    /// Why it cannot be used now, and what to do; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub problem_since: Option<String>,
    /// Bytes of chunks in the bucket.
    pub bucket_bytes: ByteCount,
    /// Bytes of these that were read again and are kept on the node's disk.
    pub cache_bytes: ByteCount,
    /// How many bytes these may have.
    pub limit_bytes: ByteCount,
    /// Versions of images that the node holds.
    #[serde(default)]
    pub total: u32,
    /// How many of them are complete in the bucket.
    #[serde(default)]
    pub complete: u32,
    /// These versions; in lists of nodes only those that are not complete.
    #[serde(default)]
    pub images: Vec<ColdImage>,
}

/// A version of an image that is, or is to be, in a bucket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ColdImage {
    /// The image.
    pub image: Named<ImageId>,
    /// Number of the version; absent for content that no image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// BLAKE3 of its manifest.
    pub manifest: ManifestId,
    /// How it is in the bucket.
    #[serde(flatten)]
    pub copy: ColdCopy,
}

/// How a version of an image is in a bucket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ColdCopy {
    /// Chunks that were read in the bucket and were right.
    pub verified: u64,
    /// All chunks; absent before they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Whether all of it is there, so that an empty node can take it from there.
    pub complete: bool,
    /// Whether some of its chunks may be in the bucket only.
    pub away: bool,
    /// Why it does not become complete; absent when nothing hinders it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
