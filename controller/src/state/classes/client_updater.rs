//! Files that FOG's client on an installed machine updates itself with.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// A file with which the client on an installed machine updates itself. Kept for FOG's clients;
/// Foghorn's own client is updated with its boot image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientUpdater {
    pub id: u32,
    pub name: String,
    pub md5: String,
    pub kind: String,
    pub file: String,
}

impl Class for ClientUpdater {
    const NAME: &'static str = "clientupdater";
    const ABOUT: &'static str = "A file with which the client on an installed machine updates itself. Kept for FOG's clients; Foghorn's own client is updated with its boot image.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 200, name)
            .required()
            .about("Name of the file; no two files share one."),
        field!(text, "md5", 100, md5)
            .about("MD5 of the file in hexadecimal, as its sender computed it; not checked."),
        field!(text, "type", 30, kind).about("`bin` for a program, `txt` for a text."),
        field!(long_text, "file", file)
            .required()
            .about("The file itself, in base64."),
    ];

    id_in_field!();
    unique_name!();
}
