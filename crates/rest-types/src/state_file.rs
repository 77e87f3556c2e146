//! The whole state as one encrypted file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to export the state.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// Encrypts the file; at least 8 characters. Without it nobody can read the file.
    pub passphrase: String,
    /// Leaves the certificate authority out. Whoever imports the file must have it.
    #[serde(default)]
    pub without_authority: bool,
}

impl std::fmt::Debug for ExportRequest {
    /// Without the passphrase.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportRequest")
            .field("without_authority", &self.without_authority)
            .finish_non_exhaustive()
    }
}

/// What was imported.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// Records.
    pub entries: u64,
    /// Revision of the store that the file is a copy of.
    pub revision: u64,
    /// When the file was made.
    pub made: String,
    /// Fingerprint of the certificate authority of the state.
    pub authority: String,
    /// Whether the controller has another certificate authority now.
    pub new_authority: bool,
}
