//! Printers that the client sets up on hosts.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// A printer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Printer {
    pub p_anon2: String,
    pub p_anon3: String,
    pub p_anon4: String,
    pub p_anon5: String,
    pub id: u32,
    pub name: String,
    pub description: String,
    pub port: String,
    pub file: String,
    pub model: String,
    /// One of `KINDS`, in any case.
    pub config: String,
    pub config_file: String,
    pub ip: String,
}

const UNUSED: &str = "Kept for clients that use it; Foghorn gives it no meaning.";

impl Class for Printer {
    const NAME: &'static str = "printer";
    const ABOUT: &'static str = "A printer that the client sets up on hosts.";
    const FIELDS: &'static [Field<Self>] = &[
        field!(text, "pAnon2", 10, p_anon2).about(UNUSED),
        field!(text, "pAnon3", 10, p_anon3).about(UNUSED),
        field!(text, "pAnon4", 10, p_anon4).about(UNUSED),
        field!(text, "pAnon5", 10, p_anon5).about(UNUSED),
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 250, name)
            .required()
            .about("Name of the printer, for a network printer its path; no two share one."),
        field!(long_text, "description", description).about("More about it, in words."),
        field!(long_text, "port", port).about("Port, or the address of an iPrint printer."),
        field!(long_text, "file", file).about("Path of the driver: an INF or a PPD file."),
        field!(text, "model", 250, model).about("Model, as its driver names it."),
        field!(text, "config", 10, config)
            .about("How it is reached: `Local`, `Network`, `iPrint` or `Cups`."),
        field!(text, "configFile", 255, config_file).about("Path of a file with its settings."),
        field!(text, "ip", 20, ip).about("Address of the printer."),
    ];
    const POINTED_AT: bool = true;

    id_in_field!();
    unique_name!();
}
