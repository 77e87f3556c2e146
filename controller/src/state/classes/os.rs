//! Operating systems that an image may hold.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// Operating systems that an image may hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Os {
    pub id: u32,
    pub name: String,
    pub description: String,
}

impl Class for Os {
    const NAME: &'static str = "os";
    const ABOUT: &'static str = "An operating system that images may hold.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the system."),
        field!(text, "name", 30, name)
            .required()
            .about("Name, unique without case."),
        field!(long_text, "description", description).about("Free text."),
    ];

    id_in_field!();
    unique_name!();
}
