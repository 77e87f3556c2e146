//! What hinders an installation, beside its store and its nodes.

use foghorn_types::{SnapinId, StorageNodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::native::Named;

/// What somebody who looks for the cause of a problem wants to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// Where agents connect to this controller.
    pub link: LinkPlace,
    /// Plugins that are not called, though they are switched on.
    pub plugins: Vec<PluginTrouble>,
    /// Imaging tasks that failed in the last 24 hours, by reason, the commonest first; at most 10
    /// reasons.
    pub failed: Vec<FailedTasks>,
    /// How many tasks failed in that time.
    pub failed_count: u32,
    /// Files of snapins that are not on every node of their storage groups.
    pub behind: Vec<SnapinBehind>,
}

/// Where agents connect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkPlace {
    /// `host:port`, gRPC with TLS.
    pub address: String,
    /// Name in the certificate there.
    pub server_name: String,
}

/// A plugin that is not called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PluginTrouble {
    /// Its name.
    pub name: String,
    /// Whether it is suspended because it failed too often; otherwise its file cannot be used.
    pub suspended: bool,
    /// Its last error.
    pub error: String,
}

/// Tasks that failed for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailedTasks {
    /// The reason.
    pub reason: String,
    /// How many.
    pub count: u32,
}

/// A file that lacks copies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SnapinBehind {
    /// The snapin.
    pub snapin: Named<SnapinId>,
    /// Nodes that should have the file and do not.
    pub missing: Vec<Named<StorageNodeId>>,
}
