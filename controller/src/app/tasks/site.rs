//! The site that serves a deploy: the storage group at the location of the host, if there is one
//! and it has the image.
//!
//! Locations are the classes `location` and `locationassociation`, which a plugin declares as in
//! FOG.

use foghorn_types::StorageGroupId;

use crate::state::Tables;
use crate::state::classes::{Host, StorageNode};
use crate::state::content::ImageContent;

/// The storage group at the host's place, when a node there holds this version of an image.
pub(super) fn of(tables: &Tables, host: &Host, content: &ImageContent) -> Option<StorageGroupId> {
    let places = tables
        .dynamic()
        .table("locationassociation")?
        .by("hostID", &host.id.to_string());
    let place = tables
        .dynamic()
        .get("location", places.first()?.reference("locationID"))?;
    let group = StorageGroupId::new(place.reference("storagegroupID"))?;
    let at_hand = |node: &foghorn_types::StorageNodeId| {
        tables
            .of::<StorageNode>()
            .get(node.get())
            .is_some_and(|row| row.serves() && row.group() == Some(group))
    };
    content.nodes.iter().any(at_hand).then_some(group)
}
