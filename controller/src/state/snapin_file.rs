//! Files of snapins: one record per snapin whose file has been uploaded, and which nodes hold it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::{ByteCount, FileId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// Keys of files: this and the snapin's id in ten digits.
pub const PREFIX: &str = "/foghorn/v1/snapinfile/";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapinFile {
    pub snapin: u32,
    /// BLAKE3 of the content: its name on the nodes.
    pub file: FileId,
    /// SHA-512 of the content in hexadecimal, for hosts.
    pub sha512: String,
    pub size: ByteCount,
    pub uploaded_at: Timestamp,
    /// Nodes that have said that they hold all of it, verified.
    pub nodes: Vec<StorageNodeId>,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

impl SnapinFile {
    #[must_use]
    pub fn key_of(snapin: u32) -> String {
        format!("{PREFIX}{snapin:010}")
    }

    #[must_use]
    pub fn put_op(&self) -> Op {
        let record = Record {
            v: VERSION,
            snapin: self.snapin,
            file: self.file,
            sha512: self.sha512.clone(),
            size: self.size,
            uploaded_at: self.uploaded_at,
            nodes: self.nodes.clone(),
        };
        let value = serde_json::to_vec(&record).expect("a file record holds nothing that JSON cannot express");
        Op::Put { key: Self::key_of(self.snapin), value: Bytes::from(value), lease: None }
    }

    /// Part of the transaction that deletes the snapin.
    #[must_use]
    pub fn delete_op(snapin: u32) -> Op {
        Op::Delete { key: Self::key_of(snapin) }
    }

    /// Holds as long as nobody else has changed the record since it was read.
    #[must_use]
    pub fn unchanged(&self) -> Compare {
        Compare::ModifiedAt(Self::key_of(self.snapin), self.modified)
    }
}

/// The file of every snapin that has one.
#[derive(Default)]
pub struct SnapinFiles {
    files: BTreeMap<u32, Arc<SnapinFile>>,
}

impl SnapinFiles {
    /// # Errors
    /// When the key or the record cannot be read.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let record: Record = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
                if record.v != VERSION {
                    return Err(format!("snapin file record of version {}, this program reads {VERSION}", record.v));
                }
                self.files.insert(record.snapin, Arc::new(record.into_file(entry.modified)));
            }
            Change::Delete { key, .. } => {
                let snapin = key.strip_prefix(PREFIX).and_then(|id| id.parse::<u32>().ok());
                self.files.remove(&snapin.ok_or_else(|| format!("{key} names no snapin"))?);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, snapin: u32) -> Option<&Arc<SnapinFile>> {
        self.files.get(&snapin)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<SnapinFile>> {
        self.files.values()
    }
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    snapin: u32,
    file: FileId,
    sha512: String,
    size: ByteCount,
    uploaded_at: Timestamp,
    nodes: Vec<StorageNodeId>,
}

impl Record {
    fn into_file(self, modified: Revision) -> SnapinFile {
        SnapinFile {
            snapin: self.snapin,
            file: self.file,
            sha512: self.sha512,
            size: self.size,
            uploaded_at: self.uploaded_at,
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
    fn a_file_is_read_back_and_forgotten() {
        let file = SnapinFile {
            snapin: 3,
            file: FileId::of(b"setup"),
            sha512: "00".repeat(64),
            size: ByteCount::from_bytes(5),
            uploaded_at: Timestamp::from_millis(9),
            nodes: vec![StorageNodeId::new(1).unwrap()],
            modified: 4,
        };
        let Op::Put { key, value, .. } = file.put_op() else { panic!("not a put") };
        let mut files = SnapinFiles::default();
        files.apply(&Change::Put(Entry { key: key.clone(), value, created: 4, modified: 4, lease: None })).unwrap();
        assert_eq!(**files.get(3).unwrap(), file);
        files.apply(&Change::Delete { key, revision: 5 }).unwrap();
        assert!(files.get(3).is_none());
    }
}
