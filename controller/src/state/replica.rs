//! Copies of images that are being made from node to node, and how fast nodes may copy.
//!
//! One record for each image and node that lacks it: whoever plans a copy writes it, the
//! controllers that have the nodes' links carry it out, and it is gone when the copy is done.

use foghorn_types::{ImageId, ManifestId, NodeName, StorageGroupId, StorageNodeId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, numbered, stored_whole};
use crate::store::Revision;

/// Keys of copies: this, the image, and the node that is to hold it.
const JOB_PREFIX: &str = "/foghorn/v1/replica-job/";
/// Keys of limits: one of these and the number.
const NODE_PREFIX: &str = "/foghorn/v1/replica-limit/node/";
const GROUP_PREFIX: &str = "/foghorn/v1/replica-limit/group/";

/// A copy of an image to a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReplicaJob {
    pub image: ImageId,
    /// Where it is copied to.
    pub node: StorageNodeId,
    pub manifest: ManifestId,
    /// Random: names the attempt in orders and reports.
    pub copy: u32,
    /// The node has it, and some of it is damaged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub heals: bool,
    /// Nodes that give it, best first.
    pub sources: Vec<Source>,
    /// When this attempt was ordered.
    pub since: Timestamp,
    /// How many attempts have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    pub state: JobState,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// A node that gives an image, as it was reached when the copy was planned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    pub node: StorageNodeId,
    pub name: NodeName,
    /// `host:port`, best first.
    pub addresses: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum JobState {
    /// Ordered, and not done.
    Copying,
    /// The last attempt has failed; there is another one after a while.
    Failed {
        reason: String,
        at: Timestamp,
        retry_at: Timestamp,
    },
    /// Somebody has stopped it; there is no other attempt until somebody starts it.
    Stopped { at: Timestamp },
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ReplicaJob {
    #[must_use]
    pub fn is_copying(&self) -> bool {
        self.state == JobState::Copying
    }
}

impl Record for ReplicaJob {
    const WHAT: &'static str = "copy of an image";
    type Id = (ImageId, StorageNodeId);
    type Index = ();

    fn id(&self) -> Self::Id {
        (self.image, self.node)
    }

    fn key_of((image, node): &Self::Id) -> String {
        let image = numbered(JOB_PREFIX, image.get());
        format!("{image}/{:010}", node.get())
    }

    fn id_in(key: &str) -> Option<Self::Id> {
        let (image, node) = key.strip_prefix(JOB_PREFIX)?.split_once('/')?;
        let image = ImageId::new(image.parse().ok()?)?;
        Some((image, StorageNodeId::new(node.parse().ok()?)?))
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    stored_whole!();
}

/// Whose limit it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LimitOf {
    Node(StorageNodeId),
    /// Of each node of the group that has none of its own.
    Group(StorageGroupId),
}

/// How fast nodes may copy images, by the time of the day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaLimit {
    pub of: LimitOf,
    /// As somebody wrote it, such as `22:00-06:00 unlimited, else 50m`.
    pub timetable: String,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
pub struct LimitBody {
    timetable: String,
}

impl Record for ReplicaLimit {
    const WHAT: &'static str = "limit of replication";
    type Id = LimitOf;
    type Body = LimitBody;
    type Index = ();

    fn id(&self) -> LimitOf {
        self.of
    }

    fn key_of(of: &LimitOf) -> String {
        match of {
            LimitOf::Node(node) => numbered(NODE_PREFIX, node.get()),
            LimitOf::Group(group) => numbered(GROUP_PREFIX, group.get()),
        }
    }

    fn id_in(key: &str) -> Option<LimitOf> {
        if let Some(node) = key.strip_prefix(NODE_PREFIX) {
            return StorageNodeId::new(node.parse().ok()?).map(LimitOf::Node);
        }
        let group = key.strip_prefix(GROUP_PREFIX)?;
        StorageGroupId::new(group.parse().ok()?).map(LimitOf::Group)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> LimitBody {
        LimitBody {
            timetable: self.timetable.clone(),
        }
    }

    fn from_body(of: LimitOf, body: LimitBody, modified: Revision) -> Self {
        Self {
            of,
            timetable: body.timetable,
            modified,
        }
    }
}
