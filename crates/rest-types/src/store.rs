//! The condition of the state store.

use foghorn_types::ByteCount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the state store is, how much room it has, and whether it takes changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StoreCondition {
    /// `embedded` or `etcd`.
    pub engine: String,
    /// The file of the embedded store, or the endpoints of etcd.
    pub place: String,
    /// Room that is left on the file system of the embedded store.
    #[serde(default)]
    pub free_bytes: Option<ByteCount>,
    /// Size of that file system.
    #[serde(default)]
    pub total_bytes: Option<ByteCount>,
    /// Size of the file, or of etcd's database.
    #[serde(default)]
    pub used_bytes: Option<ByteCount>,
    /// A change would be stored.
    pub writable: bool,
    /// What is wrong and what to do about it.
    #[serde(default)]
    pub problem: Option<String>,
}
