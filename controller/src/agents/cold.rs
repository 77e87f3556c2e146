//! What a node says of its cold copies: its images in a bucket.

use std::collections::HashMap;

use foghorn_types::{ByteCount, ImageId, ManifestId, Timestamp};

/// The bucket of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColdCopies {
    /// In words.
    pub bucket: String,
    pub prefix: String,
    /// Why it cannot be used now, and since when.
    pub trouble: Option<(String, Timestamp)>,
    pub bucket_bytes: ByteCount,
    /// Of packs of the bucket that are on the node's disk.
    pub cache_bytes: ByteCount,
    /// What the disk may hold of what is in the bucket.
    pub limit: ByteCount,
    pub images: HashMap<(ImageId, ManifestId), ColdCopy>,
}

/// A version of an image in the bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColdCopy {
    /// Chunks that were read in the bucket and were right.
    pub verified: u64,
    /// 0: not known yet.
    pub total: u64,
    pub complete: bool,
    /// Some of its chunks may be in the bucket only.
    pub away: bool,
    /// Why it does not become complete.
    pub problem: String,
}

impl ColdCopies {
    /// Why the node cannot give the content out now, though it holds it.
    #[must_use]
    pub fn out_of_reach(&self, image: ImageId, manifest: ManifestId) -> Option<&str> {
        let (problem, _) = self.trouble.as_ref()?;
        let copy = self.images.get(&(image, manifest))?;
        copy.away.then_some(problem)
    }
}
