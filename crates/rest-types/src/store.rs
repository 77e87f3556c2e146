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
    /// The alarm of etcd: `NOSPACE` or `CORRUPT`.
    #[serde(default)]
    pub alarm: Option<String>,
    /// How old what the server shows may be, in seconds, if that is more than a moment: its store
    /// does not answer.
    #[serde(default)]
    pub stale_seconds: Option<u64>,
    /// The members of etcd that the server is configured with.
    #[serde(default)]
    pub members: Vec<EtcdMember>,
}

/// A member of etcd.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EtcdMember {
    /// As it is configured.
    pub endpoint: String,
    /// It is the leader.
    pub leads: bool,
    /// Version of etcd; empty when it does not answer.
    pub version: String,
    /// Why it does not serve.
    #[serde(default)]
    pub problem: Option<String>,
}
