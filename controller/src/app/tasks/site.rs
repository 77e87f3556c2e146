//! The site that serves a deploy: that of its host, if it has the image.

use foghorn_types::StorageGroupId;

use crate::app::sites;
use crate::state::Tables;
use crate::state::classes::StorageNode;
use crate::state::content::ImageContent;
use crate::state::run::Home;

/// The first of the sites that may serve a host, when a node there holds this version of an image.
pub(super) fn of(
    tables: &Tables,
    home: Option<Home>,
    of_image: StorageGroupId,
    content: &ImageContent,
) -> Option<StorageGroupId> {
    let at_hand = |group: &StorageGroupId| {
        content.nodes.iter().any(|node| {
            let row = tables.of::<StorageNode>().get(node.get());
            row.is_some_and(|row| row.serves() && row.group() == Some(*group))
        })
    };
    let tiers = sites::serving(tables, home?.site, of_image);
    tiers.into_iter().find(at_hand)
}
