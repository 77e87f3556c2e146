//! The place of an agent in the state: the storage node with its name, and its enrolment.

use std::sync::Arc;

use foghorn_types::{NodeName, StorageGroupId, StorageNodeId, Timestamp};

use crate::state::classes::{StorageGroup, StorageNode};
use crate::state::enrolment::{EnrolledNode, Standing};
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, Row, Tables};

/// Default of the maximum number of concurrent transfers on a node.
const MAX_CLIENTS: i64 = 10;

/// What there is under a name.
pub(super) struct Place<'t> {
    name: &'t NodeName,
    row: Option<&'t Arc<Row<StorageNode>>>,
    /// The enrolment of the storage node that has this name now.
    own: Option<&'t Arc<EnrolledNode>>,
    /// The enrolment of another one, which had this name when it enrolled: its certificates bear it.
    former: Option<&'t Arc<EnrolledNode>>,
}

/// With what an agent enrols.
pub(super) struct NewKey<'k> {
    /// Hash of its public key.
    pub(super) hash: &'k str,
    /// From when on the enrolment counts.
    pub(super) since: Timestamp,
    /// Whether a cluster vouches for the name.
    pub(super) vouched: bool,
    /// What the cluster calls the node or pod that the name is of.
    pub(super) named_after: Option<&'k str>,
}

impl<'k> NewKey<'k> {
    /// With a join token.
    pub(super) const fn joined(hash: &'k str, since: Timestamp) -> Self {
        Self {
            hash,
            since,
            vouched: false,
            named_after: None,
        }
    }
}

impl<'t> Place<'t> {
    pub(super) fn of(tables: &'t Tables, name: &'t NodeName) -> Self {
        let rows = tables.of::<StorageNode>();
        let row = rows.named(name.as_str());
        let node = row.and_then(|row| row.key());
        // What is left of a storage node that is gone holds no name.
        let others = tables.enrolled_nodes().iter().filter(|enrolled| {
            Some(enrolled.node) != node && rows.get(enrolled.node.get()).is_some()
        });
        let mut former = others.filter(|enrolled| enrolled.name == *name);
        Self {
            name,
            row,
            own: node.and_then(|node| tables.enrolled_nodes().get(&node)),
            former: former.next(),
        }
    }

    /// Whether the storage node was revoked.
    pub(super) fn is_revoked(&self) -> bool {
        let mut all = self.own.iter().chain(&self.former);
        all.any(|enrolled| enrolled.is_revoked())
    }

    /// The node, and since when it is enrolled, if it is under this name and with this key.
    pub(super) fn enrolled_with(&self, key: &str) -> Option<(StorageNodeId, Timestamp)> {
        let own = self.own.filter(|own| own.name == *self.name)?;
        Some((own.node, own.enrolled_with(key)?))
    }

    /// Whether an agent has enrolled here. It may be another one.
    pub(super) const fn is_taken(&self) -> bool {
        self.own.is_some() || self.former.is_some()
    }

    /// Whether a cluster has vouched for the agent that has enrolled here.
    pub(super) fn is_vouched(&self) -> bool {
        self.own.is_some_and(|own| own.vouched)
    }

    /// What a cluster calls the node or pod whose agent has enrolled here.
    pub(super) fn named_after(&self) -> Option<&'t str> {
        self.own.and_then(|own| own.named_after.as_deref())
    }

    /// Whether there is no storage node with this name yet.
    pub(super) const fn is_new(&self) -> bool {
        self.row.is_none()
    }

    /// Whether the certificates of a storage node with another name bear this one.
    pub(super) const fn is_of_another(&self) -> bool {
        self.former.is_some()
    }

    /// Enrols the agent with this key, in a storage node that is made if there is none.
    pub(super) fn take(
        &self,
        draft: &mut Draft<'_>,
        group: Option<StorageGroupId>,
        key: &NewKey<'_>,
    ) -> Result<StorageNodeId, Refusal> {
        let id = match self.row {
            Some(row) => {
                draft.unchanged(row);
                row.id
            }
            None => new_node(draft, self.name, group)?,
        };
        let node = id_of(id)?;
        let modified = self.own.map_or(0, |own| own.modified);
        draft.replace(&enrolled(node, self.name, key, modified));
        Ok(node)
    }
}

/// The storage node beside `node` whose agent has enrolled under this name, and was not revoked: its
/// certificates bear the name, whatever the node is called now.
pub(super) fn other_with<'t>(
    tables: &'t Tables,
    name: &NodeName,
    node: StorageNodeId,
) -> Option<&'t Arc<Row<StorageNode>>> {
    let others = tables.enrolled_nodes().iter().filter(|enrolled| {
        enrolled.node != node && enrolled.name == *name && !enrolled.is_revoked()
    });
    let rows = tables.of::<StorageNode>();
    let mut others = others.filter_map(|enrolled| rows.get(enrolled.node.get()));
    others.next()
}

/// The record of an enrolment.
pub(super) fn enrolled(
    node: StorageNodeId,
    name: &NodeName,
    key: &NewKey<'_>,
    modified: crate::store::Revision,
) -> EnrolledNode {
    EnrolledNode {
        node,
        name: name.clone(),
        standing: Standing::Enrolled { at: key.since },
        key: Some(key.hash.to_owned()),
        vouched: key.vouched,
        named_after: key.named_after.map(str::to_owned),
        modified,
    }
}

/// The typed id of a row.
pub(super) fn id_of(row: u32) -> Result<StorageNodeId, Refusal> {
    StorageNodeId::new(row).ok_or(Refusal::NotFound {
        class: "storagenode",
        id: 0,
    })
}

/// A storage node in this group, or in the first one.
pub(super) fn new_node(
    draft: &mut Draft<'_>,
    name: &NodeName,
    group: Option<StorageGroupId>,
) -> Result<u32, Refusal> {
    let groups = draft.tables().of::<StorageGroup>();
    let group = match group {
        Some(id) => groups.get(id.get()).ok_or(Refusal::NotFound {
            class: "storagegroup",
            id: id.get(),
        })?,
        None => groups.iter().next().ok_or(Refusal::Missing {
            field: "storage_group",
        })?,
    };
    // A group cannot store anything until it has a master.
    let master = !draft
        .tables()
        .of::<StorageNode>()
        .iter()
        .any(|row| row.storagegroup == group.id && row.is_master.is_yes());
    draft.unchanged(group);
    if master {
        // Two new nodes are not both the first one.
        draft.take_turn_of::<StorageGroup>(group.id);
    }
    draft.insert(StorageNode {
        name: name.to_string(),
        storagegroup: group.id,
        is_master: Flag::from(master),
        is_enabled: Flag::Yes,
        max_clients: MAX_CLIENTS,
        ..StorageNode::default()
    })
}
