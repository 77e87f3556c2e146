//! Sets of storage nodes that hold the same images.

use super::StorageNode;
use crate::state::class::{Class, Computed, Shape};
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
    const ABOUT: &'static str = "A set of storage nodes that hold the same images.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the group."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name).required().about("Name, unique without case."),
        Field::long_text("description", |c: &Self| &c.description, |c| &mut c.description).about("Free text."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "totalsupportedclients",
            shape: Shape::Integer,
            about: "Hosts that its nodes may serve at a time.",
        },
        Computed {
            name: "enablednodes",
            shape: Shape::Ids("storagenode"),
            about: "Numbers of the nodes that take tasks, by name.",
        },
        Computed { name: "allnodes", shape: Shape::Ids("storagenode"), about: "Numbers of all its nodes, by name." },
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
