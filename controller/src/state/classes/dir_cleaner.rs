//! Folders that FOG's client empties at log-off.

use crate::state::class::{Class, id_in_field};
use crate::state::field::{Field, field};

/// A folder that the client on an installed machine empties when its user logs off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DirCleaner {
    pub id: u32,
    pub path: String,
}

impl Class for DirCleaner {
    const NAME: &'static str = "dircleaner";
    const ABOUT: &'static str =
        "A folder that the client on an installed machine empties when its user logs off.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(long_text, "path", path)
            .required()
            .about("Path of the folder on the machine."),
    ];

    id_in_field!();
}
