//! Sets of storage nodes that hold the same images.

use super::StorageNode;
use crate::state::class::Class;
use crate::state::class::{Row, Unique};
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;

/// Sets of storage nodes that hold the same images.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StorageGroup {
    pub id: u32,
    pub name: String,
    pub description: String,
}

impl Class for StorageGroup {
    const NAME: &'static str = "storagegroup";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name).required(),
        Field::long_text("description", |c| &c.description, |c| &mut c.description),
    ];
    const NAMED: bool = true;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let id = row.map_or(0, |row| row.id);
        let mut nodes: Vec<_> = scene.tables.of::<StorageNode>().by(StorageNode::BY_GROUP, id.into()).collect();
        nodes.sort_by_key(|node| crate::state::value::fold(&node.name));
        let serving: Vec<_> = nodes.iter().filter(|node| row.is_some() && node.serves()).collect();
        out.integer("totalsupportedclients", serving.iter().map(|node| node.max_clients).sum());
        out.texts("enablednodes", serving.iter().map(|node| node.id.to_string()));
        out.texts("allnodes", nodes.iter().map(|node| node.id.to_string()));
    }
}
