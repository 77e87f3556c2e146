//! What a virus scan found.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};
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
        field!(text, "name", 250, name)
            .required()
            .about("Name of the virus; no two rows share one."),
        field!(text, "mac", 50, mac)
            .required()
            .about("Network address of the machine."),
        field!(long_text, "file", file)
            .required()
            .about("Path of the file on the machine."),
        field!(time, "date", date)
            .required()
            .about("When it was found, in UTC."),
        field!(text, "mode", 5, mode)
            .about("`q` when the file was moved aside, `s` when it was only reported."),
        field!(text, "anon2", 50, anon2)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
    ];

    id_in_field!();
    unique_name!();
}
