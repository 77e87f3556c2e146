//! Files of snapins: one record per snapin whose file has been uploaded, and which nodes hold it.

use foghorn_types::{ByteCount, FileId, SnapinId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of files: this and the snapin's id.
const PREFIX: &str = "/foghorn/v1/snapinfile/";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapinFile {
    pub snapin: SnapinId,
    /// BLAKE3 of the content: its name on the nodes.
    pub file: FileId,
    /// SHA-512 of the content in hexadecimal, for hosts.
    pub sha512: String,
    pub size: ByteCount,
    pub uploaded_at: Timestamp,
    /// Nodes that have said that they hold all of it, verified.
    pub nodes: Vec<StorageNodeId>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for SnapinFile {
    const WHAT: &'static str = "file of a snapin";
    type Index = ();

    numbered_by!(PREFIX, snapin: SnapinId);
    stored_whole!();
}
