//! What an image contains: one record per image that has been captured, written when the capture
//! completes.

use foghorn_types::{ByteCount, DiskPart, ImageId, ManifestId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use super::notes::Notes;
use super::shelf::{Record, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of contents: this and the image's id.
const PREFIX: &str = "/foghorn/v1/content/";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImageContent {
    pub image: ImageId,
    pub manifest: ManifestId,
    /// What of the disk was captured.
    #[serde(default, skip_serializing_if = "DiskPart::is_everything")]
    pub part: DiskPart,
    /// Size of the captured disk.
    pub logical_bytes: ByteCount,
    /// Of these, in use.
    pub used_bytes: ByteCount,
    /// Compressed size of all its chunks, whether shared with other images or not.
    pub stored_bytes: ByteCount,
    /// Of these, added to the node's store by the capture.
    pub new_bytes: ByteCount,
    pub captured_at: Timestamp,
    /// Nodes that hold every chunk, verified.
    pub nodes: Vec<StorageNodeId>,
    /// What whoever deploys it should know.
    #[serde(default, skip_serializing_if = "Notes::is_empty")]
    pub notes: Notes,
    /// Its disks, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<ContentDisk>,
    /// Numbers of its partitions, of one disk; 0: it has no table. Empty: unknown, as before this was
    /// kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<u32>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// One disk of an image of several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ContentDisk {
    /// Of the captured disk.
    pub size: ByteCount,
    /// In bytes.
    pub sector_size: u32,
    /// Its first byte in the numbering of the image's notes.
    pub start: u64,
    /// The smallest disk that can hold it.
    pub minimum: ByteCount,
    /// Which disk it was: path, model, serial number.
    pub name: String,
}

impl ImageContent {
    /// Whether it has this part, as far as is known.
    #[must_use]
    pub fn has(&self, part: DiskPart) -> bool {
        match part {
            _ if self.partitions.is_empty() => true,
            DiskPart::Everything => true,
            DiskPart::Table => self.partitions != [0],
            DiskPart::Partition(number) => self.partitions.contains(&number.get()),
        }
    }

    /// How many disks it needs.
    #[must_use]
    pub fn disk_count(&self) -> usize {
        self.disks.len().max(1)
    }
}

impl Record for ImageContent {
    const WHAT: &'static str = "content of an image";
    type Index = ();

    numbered_by!(PREFIX, image: ImageId);
    stored_whole!();
}
