//! Which iPXE programs machines booted, and how that went.

use crate::state::class::{Class, id_in_field};
use crate::state::field::Field;

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
        Field::long_text("product", |c: &Self| &c.product, |c| &mut c.product)
            .about("Product name of the machine, as its firmware says."),
        Field::long_text(
            "manufacturer",
            |c: &Self| &c.manufacturer,
            |c| &mut c.manufacturer,
        )
        .about("Maker of the machine, as its firmware says."),
        Field::text("mac", 17, |c: &Self| &c.mac, |c| &mut c.mac)
            .about("Network address of the machine."),
        Field::text("success", 2, |c: &Self| &c.success, |c| &mut c.success)
            .about("`1` when it booted."),
        Field::text("failure", 2, |c: &Self| &c.failure, |c| &mut c.failure)
            .about("`1` when it did not."),
        Field::long_text("file", |c: &Self| &c.file, |c| &mut c.file)
            .about("Name of the iPXE program."),
        Field::long_text("version", |c: &Self| &c.version, |c| &mut c.version)
            .about("Version of the iPXE program."),
    ];
    const ANY_ID: Option<&'static [&'static str]> = Some(&[]);

    id_in_field!();
}
