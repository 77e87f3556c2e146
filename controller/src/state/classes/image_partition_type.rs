//! Which partitions of a disk an image is about.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 100, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, unique without case."),
        Field::text("type", 10, |c: &Self| &c.kind, |c| &mut c.kind)
            .required()
            .about("The choice as machines read it: all, or a number."),
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
