//! What an image contains: one record per image that has been captured, written when the capture completes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::{ByteCount, ImageId, ManifestId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// Keys of contents: this and the image's id in ten digits.
pub const PREFIX: &str = "/foghorn/v1/content/";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageContent {
    pub image: ImageId,
    pub manifest: ManifestId,
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
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

impl ImageContent {
    #[must_use]
    pub fn key_of(image: ImageId) -> String {
        format!("{PREFIX}{:010}", image.get())
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = Record {
            v: VERSION,
            image: self.image,
            manifest: self.manifest,
            logical_bytes: self.logical_bytes,
            used_bytes: self.used_bytes,
            stored_bytes: self.stored_bytes,
            new_bytes: self.new_bytes,
            captured_at: self.captured_at,
            nodes: self.nodes.clone(),
        };
        let value = serde_json::to_vec(&record).expect("a content record holds nothing that JSON cannot express");
        Op::Put { key: Self::key_of(self.image), value: Bytes::from(value), lease: None }
    }

    /// Part of the transaction that deletes the image.
    #[must_use]
    pub fn delete_op(image: ImageId) -> Op {
        Op::Delete { key: Self::key_of(image) }
    }

    /// Holds as long as nobody else has changed the content since it was read.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        Compare::ModifiedAt(Self::key_of(self.image), self.modified)
    }
}

/// The content of every image that has one.
#[derive(Default)]
pub struct Contents {
    contents: BTreeMap<ImageId, Arc<ImageContent>>,
}

impl Contents {
    /// # Errors
    /// When the key or the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let record: Record = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
                if record.v != VERSION {
                    return Err(format!("content record of version {}, this program reads {VERSION}", record.v));
                }
                self.contents.insert(record.image, Arc::new(record.into_content(entry.modified)));
            }
            Change::Delete { key, .. } => {
                let image = key.strip_prefix(PREFIX).and_then(|id| id.parse::<u32>().ok()).and_then(ImageId::new);
                self.contents.remove(&image.ok_or_else(|| format!("{key} names no image"))?);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, image: ImageId) -> Option<&Arc<ImageContent>> {
        self.contents.get(&image)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ImageContent>> {
        self.contents.values()
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    image: ImageId,
    manifest: ManifestId,
    logical_bytes: ByteCount,
    used_bytes: ByteCount,
    stored_bytes: ByteCount,
    new_bytes: ByteCount,
    captured_at: Timestamp,
    nodes: Vec<StorageNodeId>,
}

impl Record {
    fn into_content(self, modified: Revision) -> ImageContent {
        ImageContent {
            image: self.image,
            manifest: self.manifest,
            logical_bytes: self.logical_bytes,
            used_bytes: self.used_bytes,
            stored_bytes: self.stored_bytes,
            new_bytes: self.new_bytes,
            captured_at: self.captured_at,
            nodes: self.nodes,
            modified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    #[test]
    fn content_is_read_back_and_forgotten() {
        let image = ImageId::new(3).unwrap();
        let content = ImageContent {
            image,
            manifest: ManifestId::of(b"m"),
            logical_bytes: ByteCount::from_mib(10),
            used_bytes: ByteCount::from_mib(5),
            stored_bytes: ByteCount::from_mib(2),
            new_bytes: ByteCount::from_mib(1),
            captured_at: Timestamp::from_millis(9),
            nodes: vec![StorageNodeId::new(1).unwrap()],
            modified: 4,
        };
        let Op::Put { key, value, .. } = content.put_op() else { panic!("not a put") };
        let mut contents = Contents::default();
        contents.apply(&Change::Put(Entry { key: key.clone(), value, created: 4, modified: 4, lease: None })).unwrap();
        assert_eq!(**contents.get(image).unwrap(), content);
        contents.apply(&Change::Delete { key, revision: 5 }).unwrap();
        assert!(contents.get(image).is_none());
    }
}
