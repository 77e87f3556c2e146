//! Backups of the embedded store.

use foghorn_types::ByteCount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The backups of the controller that answers, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackupList {
    /// Seconds between two backups that the controller makes by itself; null: it makes none.
    #[serde(default)]
    pub every_seconds: Option<u64>,
    /// Whole ones only.
    pub backups: Vec<Backup>,
}

/// A folder with a copy of the store and the certificate authority.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// Such as `2026-11-29T030000Z-scheduled`.
    pub name: String,
    /// `scheduled` (the oldest of these are deleted) or `asked`.
    pub kind: String,
    /// When it was made (RFC 3339, UTC).
    pub made: String,
    /// Size of the copy of the store.
    pub bytes: ByteCount,
    /// The folder, on the machine of the controller.
    pub path: String,
}
