//! Operating systems that an image may hold.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 30, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, unique without case."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
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
