//! Printers that the client sets up on hosts.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("pAnon2", 10, |c: &Self| &c.p_anon2, |c| &mut c.p_anon2).about(UNUSED),
        Field::text("pAnon3", 10, |c: &Self| &c.p_anon3, |c| &mut c.p_anon3).about(UNUSED),
        Field::text("pAnon4", 10, |c: &Self| &c.p_anon4, |c| &mut c.p_anon4).about(UNUSED),
        Field::text("pAnon5", 10, |c: &Self| &c.p_anon5, |c| &mut c.p_anon5).about(UNUSED),
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the printer, for a network printer its path; no two share one."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("More about it, in words."),
        Field::long_text("port", |c: &Self| &c.port, |c| &mut c.port)
            .about("Port, or the address of an iPrint printer."),
        Field::long_text("file", |c: &Self| &c.file, |c| &mut c.file)
            .about("Path of the driver: an INF or a PPD file."),
        Field::text("model", 250, |c: &Self| &c.model, |c| &mut c.model)
            .about("Model, as its driver names it."),
        Field::text("config", 10, |c: &Self| &c.config, |c| &mut c.config)
            .about("How it is reached: `Local`, `Network`, `iPrint` or `Cups`."),
        Field::text(
            "configFile",
            255,
            |c: &Self| &c.config_file,
            |c| &mut c.config_file,
        )
        .about("Path of a file with its settings."),
        Field::text("ip", 20, |c: &Self| &c.ip, |c| &mut c.ip).about("Address of the printer."),
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
