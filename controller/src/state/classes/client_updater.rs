//! Files that FOG's client on an installed machine updates itself with.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 200, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the file; no two files share one."),
        Field::text("md5", 100, |c: &Self| &c.md5, |c| &mut c.md5)
            .about("MD5 of the file in hexadecimal, as its sender computed it; not checked."),
        Field::text("type", 30, |c: &Self| &c.kind, |c| &mut c.kind)
            .about("`bin` for a program, `txt` for a text."),
        Field::long_text("file", |c: &Self| &c.file, |c| &mut c.file)
            .required()
            .about("The file itself, in base64."),
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
