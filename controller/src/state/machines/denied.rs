//! Devices that were deleted: their certificates are valid, and are refused.

use foghorn_types::{MachineUuid, StorageGroupId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, stored_whole};
use crate::store::Revision;

/// Keys of denied devices: this and the UUID.
const PREFIX: &str = "/foghorn/v1/device-denied/";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeniedDevice {
    pub uuid: MachineUuid,
    /// Where it was.
    pub factory: StorageGroupId,
    /// What it was called.
    pub name: String,
    /// Number of the user who deleted it.
    pub by: u32,
    pub at: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for DeniedDevice {
    const WHAT: &'static str = "denied device";
    type Id = MachineUuid;
    type Index = ();

    fn id(&self) -> MachineUuid {
        self.uuid
    }

    fn key_of(uuid: &MachineUuid) -> String {
        format!("{PREFIX}{uuid}")
    }

    fn id_in(key: &str) -> Option<MachineUuid> {
        key.strip_prefix(PREFIX)?.parse().ok()
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    stored_whole!();
}
