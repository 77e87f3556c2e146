//! Which iPXE programs machines booted, and how that went.

use crate::state::class::{Class, id_in_field};
use crate::state::field::{Field, field};

/// How a model of machine got on with an iPXE program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ipxe {
    pub id: u32,
    pub product: String,
    pub manufacturer: String,
    pub mac: String,
    pub success: String,
    pub failure: String,
    pub file: String,
    pub version: String,
}

impl Class for Ipxe {
    const NAME: &'static str = "ipxe";
    const ABOUT: &'static str = "How a model of machine got on with an iPXE program.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(long_text, "product", product)
            .about("Product name of the machine, as its firmware says."),
        field!(long_text, "manufacturer", manufacturer)
            .about("Maker of the machine, as its firmware says."),
        field!(text, "mac", 17, mac).about("Network address of the machine."),
        field!(text, "success", 2, success).about("`1` when it booted."),
        field!(text, "failure", 2, failure).about("`1` when it did not."),
        field!(long_text, "file", file).about("Name of the iPXE program."),
        field!(long_text, "version", version).about("Version of the iPXE program."),
    ];
    const ANY_ID: Option<&'static [&'static str]> = Some(&[]);

    id_in_field!();
}
