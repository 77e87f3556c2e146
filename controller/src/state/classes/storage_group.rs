//! Sets of storage nodes that hold the same images.

use crate::state::class::{Class, Computed, Shape, id_in_field, unique_name};
use crate::state::field::{Field, field};

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
        field!(text, "name", 250, name)
            .required()
            .about("Name, unique without case."),
        field!(long_text, "description", description).about("Free text."),
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

    id_in_field!();
    unique_name!();
}
