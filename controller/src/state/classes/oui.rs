//! Makers of network cards by the beginning of an address.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

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
        field!(text, "prefix", 8, prefix)
            .required()
            .about("The first three bytes of an address, like `00-1A-2B`."),
        field!(text, "name", 254, name)
            .required()
            .about("Name of the maker."),
    ];

    id_in_field!();
    unique_name!();
}
