//! What a rendering looks at: the stored state, what agents report at this moment, and who is
//! looking.

use std::net::IpAddr;

use foghorn_types::{ImageId, ManifestId, StorageNodeId, TaskId};

use super::tables::Tables;

/// What is known of a storage node at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeGlance {
    /// Its agent is connected.
    pub online: bool,
}

/// Progress of a transfer, in FOG's units.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProgressGlance {
    /// 0 to 100.
    pub percent: u8,
    /// Speed as text, for people.
    pub speed: String,
    /// `HH:MM:SS`.
    pub elapsed: String,
    pub remaining: String,
    pub copied: String,
    pub total: String,
}

/// Where a rendering learns what no store keeps. Implemented by the agents' registry.
pub trait Glance: Send + Sync {
    fn node(&self, node: StorageNodeId) -> NodeGlance;
    /// What the node holds under the number of an image.
    fn held(&self, node: StorageNodeId, image: ImageId) -> Vec<ManifestId>;
    /// `None` when nothing is running for the task.
    fn progress(&self, task: TaskId) -> Option<ProgressGlance>;
}

/// See the module.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub tables: &'a Tables,
    pub glance: &'a dyn Glance,
    /// The caller may see secrets and has asked for them.
    pub secrets: bool,
    /// Address that the request came from.
    pub from: IpAddr,
}
