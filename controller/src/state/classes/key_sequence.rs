//! Keys that choose an entry of the boot menu.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// A key that a boot menu can wait for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeySequence {
    pub id: u32,
    pub name: String,
    pub ascii: String,
}

impl Class for KeySequence {
    const NAME: &'static str = "keysequence";
    const ABOUT: &'static str = "A key that a boot menu can wait for.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 25, name)
            .required()
            .about("Name of the key, for people."),
        field!(text, "ascii", 25, ascii)
            .required()
            .about("Code of the key in iPXE, hexadecimal with `0x`."),
    ];

    id_in_field!();
    unique_name!();
}
