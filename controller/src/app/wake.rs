//! Wakes hosts: the order is stored with its purpose, and sent by every controller to its agents.

use std::collections::BTreeSet;

use foghorn_types::{HostId, MacAddress, StorageNodeId, Timestamp};

use crate::state::classes::{MacAddressAssociation, StorageNode};
use crate::state::rules::image;
use crate::state::wake::Wake;
use crate::state::{Draft, Tables};

/// Orders hosts to be woken, as part of the draft.
pub(crate) fn order(draft: &mut Draft<'_>, hosts: Vec<HostId>, why: &str, now: Timestamp) {
    if !hosts.is_empty() {
        let hosts = hosts.into_iter().map(HostId::get).collect();
        draft.store(&Wake::new(hosts, why.to_owned(), now));
    }
}

/// MAC addresses of a host, without those that wait for approval or must be ignored.
#[must_use]
pub(crate) fn addresses(tables: &Tables, host: HostId) -> Vec<MacAddress> {
    let rows = tables
        .of::<MacAddressAssociation>()
        .by(MacAddressAssociation::BY_HOST, host.get().into());
    let ignored =
        |row: &MacAddressAssociation| row.client_ignore.is_yes() && row.image_ignore.is_yes();
    let usable = rows.filter(|row| !row.pending.is_yes() && !ignored(row));
    usable.filter_map(|row| row.address()).collect()
}

/// Storage nodes at the host's site: those of the group of its image. Empty when the site is
/// unknown.
#[must_use]
pub(crate) fn nodes_near(tables: &Tables, host: HostId) -> BTreeSet<StorageNodeId> {
    let image = tables.hosts().get(host.get()).map_or(0, |host| host.image);
    let Some(group) = image::storage_group(tables, image) else {
        return BTreeSet::new();
    };
    let nodes = tables
        .storage_nodes()
        .by(StorageNode::BY_GROUP, group.id.into());
    nodes
        .filter(|node| node.serves())
        .filter_map(|node| node.key())
        .collect()
}
