//! Which partitions of a disk an image is about.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// Which partitions of a disk an image is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImagePartitionType {
    pub id: u32,
    pub name: String,
    pub kind: String,
}

impl Class for ImagePartitionType {
    const NAME: &'static str = "imagepartitiontype";
    const ABOUT: &'static str = "A choice of partitions to capture.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the choice."),
        field!(text, "name", 100, name)
            .required()
            .about("Name, unique without case."),
        field!(text, "type", 10, kind)
            .required()
            .about("The choice as machines read it: all, mbr (the table and boot code), or the number of a partition."),
    ];

    id_in_field!();
    unique_name!();
}
