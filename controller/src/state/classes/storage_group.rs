//! Sets of storage nodes that hold the same images.

use crate::state::class::{Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, unique without case."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
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
        Computed {
            name: "allnodes",
            shape: Shape::Ids("storagenode"),
            about: "Numbers of all its nodes, by name.",
        },
    ];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
