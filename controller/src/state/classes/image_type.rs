//! Ways in which the disks of an image are laid out.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::field::{Field, field};

/// Ways in which the disks of an image are laid out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageType {
    pub id: u32,
    pub name: String,
    pub kind: String,
}

impl Class for ImageType {
    const NAME: &'static str = "imagetype";
    const ABOUT: &'static str = "A way to capture disks.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the type."),
        field!(text, "name", 100, name)
            .required()
            .about("Name, unique without case."),
        field!(text, "type", 10, kind)
            .required()
            .about("The type as machines read it: n, mps, mpa or dd."),
    ];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        let kind = Unique {
            field: "type",
            value: crate::state::value::fold(&self.kind),
            clash: Clash::Merge,
        };
        vec![Unique::name(&self.name), kind]
    }
}
