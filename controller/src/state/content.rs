//! What an image contains: one record per image that has been captured, written when the capture
//! completes.

use foghorn_image::NoteKind;
use foghorn_proto::http::NeededDisk;
use foghorn_types::{ByteCount, DiskPart, HostId, ImageId, ManifestId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use super::multicast::Fixed;
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
    /// Its number among the versions of the image: captures count up.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub version: u32,
    /// The highest number that any version of the image has had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
    /// Where it was captured; `None` for content from before this was recorded, and for adopted
    /// content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CapturedFrom>,
    /// Versions that were replaced and are kept, the latest replaced first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Previous>,
    /// The smallest disk that can hold it; 0 if that is not known, or if there are several.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub minimum: ByteCount,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// The host whose disk was captured, as it was called then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CapturedFrom {
    pub host: HostId,
    pub name: String,
}

/// A version of an image that was replaced and is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Previous {
    pub replaced_at: Timestamp,
    /// Has no previous versions itself.
    pub content: ImageContent,
}

fn first() -> u32 {
    1
}

fn is_first(version: &u32) -> bool {
    *version == 1
}

fn is_zero(size: &ByteCount) -> bool {
    *size == ByteCount::ZERO
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

    /// This version, and then those that are kept, the latest replaced first.
    pub fn versions(&self) -> impl Iterator<Item = &Self> {
        let kept = self.previous.iter().map(|previous| &previous.content);
        std::iter::once(self).chain(kept)
    }

    /// The version of the image with this manifest.
    #[must_use]
    pub fn with_manifest(&self, manifest: ManifestId) -> Option<&Self> {
        self.versions().find(|version| version.manifest == manifest)
    }

    /// The version of the image with this number.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Option<&Self> {
        self.versions().find(|version| version.version == number)
    }

    /// Stands for this version in tasks.
    #[must_use]
    pub fn fixed(&self) -> Fixed {
        Fixed {
            manifest: self.manifest,
            version: Some(self.version),
        }
    }

    /// The disks that it needs, as far as that is known.
    #[must_use]
    pub fn needs(&self) -> Vec<NeededDisk> {
        let notes = self.notes.list();
        let tied = notes.iter().any(|note| note.kind == NoteKind::SizeTied);
        if self.disks.is_empty() {
            return vec![NeededDisk {
                at_least: if tied {
                    self.logical_bytes
                } else {
                    self.minimum
                },
                at_most: tied.then_some(self.logical_bytes),
            }];
        }
        let need = |disk: &ContentDisk| NeededDisk {
            at_least: disk.minimum,
            at_most: None,
        };
        self.disks.iter().map(need).collect()
    }
}

impl Record for ImageContent {
    const WHAT: &'static str = "content of an image";
    type Index = ();

    numbered_by!(PREFIX, image: ImageId);
    stored_whole!();
}
