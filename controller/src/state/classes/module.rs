//! Parts of the client on installed machines that can be switched per host.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::field::{Field, field};
use crate::state::value::fold;

/// A part of the client on installed machines that can be on or off for each host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Module {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub short_name: String,
    pub is_default: i64,
}

impl Class for Module {
    const NAME: &'static str = "module";
    const ABOUT: &'static str =
        "A part of the client on installed machines that can be on or off for each host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 50, name)
            .required()
            .about("Name of the part, for people."),
        field!(long_text, "description", description).about("What the part does."),
        field!(text, "shortName", 30, short_name)
            .required()
            .about("Name by which the client asks for the part."),
        field!(number, "isDefault", is_default).about("1 when new hosts have it on, otherwise 0."),
    ];
    const NAMED: bool = true;
    const POINTED_AT: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![
            Unique::name(&self.name),
            Unique {
                field: "shortName",
                value: fold(&self.short_name),
                clash: Clash::Merge,
            },
        ]
    }
}
