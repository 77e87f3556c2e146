//! Makers of network cards by the beginning of an address.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

/// The maker of network cards whose addresses begin alike.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Oui {
    pub id: u32,
    pub prefix: String,
    pub name: String,
}

impl Class for Oui {
    const NAME: &'static str = "oui";
    const ABOUT: &'static str = "The maker of network cards whose addresses begin alike.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::text("prefix", 8, |c: &Self| &c.prefix, |c| &mut c.prefix)
            .required()
            .about("The first three bytes of an address, like `00-1A-2B`."),
        Field::text("name", 254, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the maker."),
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
