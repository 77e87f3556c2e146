//! Keys that choose an entry of the boot menu.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 25, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the key, for people."),
        Field::text("ascii", 25, |c: &Self| &c.ascii, |c| &mut c.ascii)
            .required()
            .about("Code of the key in iPXE, hexadecimal with `0x`."),
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
