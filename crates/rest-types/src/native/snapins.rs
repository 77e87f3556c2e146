//! Snapins that hosts run, and their files.

use foghorn_types::{SnapinId, StorageNodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::schema::Rfc3339;

/// The next snapin of a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "next")]
pub enum SnapinNext {
    /// Run this.
    Run(Box<SnapinRun>),
    /// The host is being imaged: ask again afterwards.
    Wait,
    /// There is nothing to run.
    Nothing,
}

/// One snapin to run. It is given again until its result was reported, so a host may be restarted
/// in the middle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SnapinRun {
    /// Id of the snapin task.
    #[schemars(range(min = 1))]
    pub snapin_task: u32,
    /// Id of the snapin.
    pub snapin: SnapinId,
    /// Name of the snapin.
    pub name: String,
    /// Name of the file.
    pub file: String,
    /// Arguments that follow the file on the command line.
    pub args: String,
    /// Program that runs the file; empty when the file runs itself.
    pub run_with: String,
    /// Arguments between that program and the file.
    pub run_with_args: String,
    /// Seconds after which the host stops it; 0 for never.
    pub timeout_seconds: u64,
    /// Whether it is hidden from the user.
    pub hide: bool,
    /// Whether the file is an archive to be unpacked.
    pub unpack: bool,
    /// Whether the host reboots afterwards.
    pub reboot: bool,
    /// Whether the host is shut down afterwards.
    pub shutdown: bool,
    /// SHA-512 of the file in hexadecimal; empty when unknown.
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{128})?$"))]
    pub sha512: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Path on this server where the file is.
    pub url: String,
}

/// How a snapin went on a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapinResult {
    /// Exit code of the program.
    pub exit_code: i32,
    /// For people; 250 characters are kept.
    #[serde(default)]
    pub details: String,
}

/// The file of a snapin as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SnapinFileStatus {
    /// Id of the snapin.
    pub snapin: SnapinId,
    /// Name of the file.
    pub file: String,
    /// SHA-512 of the content in hexadecimal.
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{128})?$"))]
    pub sha512: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When it was uploaded.
    #[schemars(with = "Rfc3339")]
    pub uploaded: String,
    /// Storage nodes that hold all of it, verified. The others of its storage groups follow.
    pub nodes: Vec<Named<StorageNodeId>>,
}
