//! The input of a plan: what is stored, and what nodes have reported.

use std::collections::{BTreeSet, HashMap};

use foghorn_types::{StorageNodeId, Timestamp};

use super::plan::{Content, Job, JobView, Node, Snapshot};
use crate::agents::live::NodeLive;
use crate::state::Tables;
use crate::state::classes::{Image, ImageAssociation, StorageNode};
use crate::state::content::ImageContent;
use crate::state::replica::{JobState, ReplicaJob};
use crate::state::value::Flag;

type Nodes = HashMap<StorageNodeId, NodeLive>;

/// Reads what there is.
#[must_use]
pub fn take(tables: &Tables, live: &Nodes, now: Timestamp) -> Snapshot {
    let contents = tables.contents().iter();
    let nodes = tables.storage_nodes().iter().filter_map(|row| {
        let id = row.key()?;
        Some((id, node(tables, row, live.get(&id))?))
    });
    let jobs = tables.replica_jobs().iter();
    Snapshot {
        contents: contents
            .flat_map(|content| versions(tables, content))
            .collect(),
        nodes: nodes.collect(),
        jobs: jobs
            .map(|record| ((record.image, record.node), job(record)))
            .collect(),
        now,
    }
}

/// Nodes that are to hold an image: the enabled ones of its groups that have joined. None if it stays where it was
/// captured.
#[must_use]
pub fn wanted(tables: &Tables, content: &ImageContent) -> BTreeSet<StorageNodeId> {
    let stays = tables
        .of::<Image>()
        .get(content.image.get())
        .is_none_or(|row| row.to_replicate == Flag::No);
    if stays {
        return BTreeSet::new();
    }
    let groups = tables
        .of::<ImageAssociation>()
        .by(ImageAssociation::BY_IMAGE, content.image.get().into());
    let nodes = groups.flat_map(|place| {
        let group = place.storagegroup.into();
        tables.storage_nodes().by(StorageNode::BY_GROUP, group)
    });
    nodes
        .filter(|node| node.is_enabled.is_yes())
        .filter_map(|node| node.key())
        .filter(|node| tables.enrolled_nodes().get(node).is_some())
        .collect()
}

/// Versions that are kept are not copied further, but what a node has of them is mended.
fn versions<'t>(
    tables: &'t Tables,
    content: &'t ImageContent,
) -> impl Iterator<Item = Content> + 't {
    content.versions().map(|version| Content {
        image: version.image,
        manifest: version.manifest,
        captured: version.captured_at,
        holders: version.nodes.iter().copied().collect(),
        wanted: match version.manifest == content.manifest {
            true => wanted(tables, content),
            false => BTreeSet::new(),
        },
    })
}

/// `None` for a node that has never joined.
fn node(tables: &Tables, row: &StorageNode, live: Option<&NodeLive>) -> Option<Node> {
    let enrolled = tables.enrolled_nodes().get(&row.key()?)?;
    let addresses = live.map(NodeLive::addresses).unwrap_or_default();
    Some(Node {
        name: enrolled.name.clone(),
        online: live.is_some_and(|live| live.online),
        unheard: live.is_some_and(|live| live.unheard),
        trusted: !enrolled.is_revoked(),
        enabled: row.is_enabled.is_yes(),
        reported: live.is_some_and(|live| live.reported),
        holds: live
            .map(|live| live.manifests.iter().copied().collect())
            .unwrap_or_default(),
        damaged: live
            .map(|live| live.damaged.keys().copied().collect())
            .unwrap_or_default(),
        unverified: live
            .map(|live| live.unverified.keys().copied().collect())
            .unwrap_or_default(),
        addresses,
    })
}

fn job(record: &ReplicaJob) -> Job {
    Job {
        manifest: record.manifest,
        heals: record.heals,
        state: match &record.state {
            JobState::Copying => JobView::Copying {
                sources: record.sources.clone(),
            },
            JobState::Failed { retry_at, .. } => JobView::Failed {
                retry_at: *retry_at,
            },
            JobState::Stopped { .. } => JobView::Stopped,
        },
    }
}
