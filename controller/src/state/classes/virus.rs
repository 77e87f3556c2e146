//! What a virus scan found.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;
use crate::state::value::FogTime;

/// A file that a virus scan found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Virus {
    pub id: u32,
    pub name: String,
    pub mac: String,
    pub file: String,
    pub date: FogTime,
    pub mode: String,
    pub anon2: String,
}

impl Class for Virus {
    const NAME: &'static str = "virus";
    const ABOUT: &'static str = "A file that a virus scan found.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the virus; no two rows share one."),
        Field::text("mac", 50, |c: &Self| &c.mac, |c| &mut c.mac)
            .required()
            .about("Network address of the machine."),
        Field::long_text("file", |c: &Self| &c.file, |c| &mut c.file)
            .required()
            .about("Path of the file on the machine."),
        Field::time("date", |c: &Self| &c.date, |c| &mut c.date)
            .required()
            .about("When it was found, in UTC."),
        Field::text("mode", 5, |c: &Self| &c.mode, |c| &mut c.mode)
            .about("`q` when the file was moved aside, `s` when it was only reported."),
        Field::text("anon2", 50, |c: &Self| &c.anon2, |c| &mut c.anon2)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
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
