//! What storage nodes cannot give out whole, in the words of the API.

use std::collections::HashMap;

use foghorn_rest_types::native::DamagedContent;
use foghorn_types::StorageNodeId;

use super::names::{image_name, snapins_of};
use super::nodes::node_view;
use crate::agents::contents::ContentDamage;
use crate::agents::live::NodeLive;
use crate::state::Tables;
use crate::state::content::ImageContent;

/// Everything on one node, images first. Content that no image has is named by its number.
pub(super) fn of_node(
    tables: &Tables,
    node: StorageNodeId,
    live: &NodeLive,
) -> Vec<DamagedContent> {
    let mut held: Vec<_> = live.manifests.iter().copied().collect();
    held.sort_unstable();
    let images = held.into_iter().filter_map(|(image, manifest)| {
        let damage = live.damaged.get(&manifest)?;
        let content = tables.contents().get(&image);
        let version = content.and_then(|content| content.with_manifest(manifest));
        Some(DamagedContent {
            image: Some(image_name(tables, image)),
            version: version.map(|version| version.version),
            manifest: Some(manifest),
            ..view(tables, node, damage)
        })
    });
    let mut files: Vec<_> = live.damaged_files.iter().collect();
    files.sort_unstable_by_key(|(file, _)| **file);
    let files = files.into_iter().map(|(file, damage)| DamagedContent {
        file: Some(*file),
        snapins: snapins_of(tables, *file),
        ..view(tables, node, damage)
    });
    images.chain(files).collect()
}

/// One version of an image, on every node that has reported it.
pub(super) fn of_content(
    nodes: &HashMap<StorageNodeId, NodeLive>,
    tables: &Tables,
    content: &ImageContent,
) -> Vec<DamagedContent> {
    let mut found: Vec<_> = nodes
        .iter()
        .filter_map(|(node, live)| Some((*node, live.damaged.get(&content.manifest)?)))
        .collect();
    found.sort_unstable_by_key(|(node, _)| *node);
    let found = found.into_iter().map(|(node, damage)| DamagedContent {
        image: Some(image_name(tables, content.image)),
        version: Some(content.version),
        manifest: Some(content.manifest),
        ..view(tables, node, damage)
    });
    found.collect()
}

fn view(tables: &Tables, node: StorageNodeId, damage: &ContentDamage) -> DamagedContent {
    DamagedContent {
        node: node_view(tables, node),
        image: None,
        version: None,
        manifest: None,
        file: None,
        snapins: Vec::new(),
        chunks: damage.chunks,
        found: damage.found.to_string(),
        problem: damage.problem.clone(),
    }
}
