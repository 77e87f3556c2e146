//! Which printers are set up on which hosts.

use crate::state::class::{Clash, Class, Unique};
use crate::state::field::Field;

/// A printer that the client sets up on one host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrinterAssociation {
    pub id: u32,
    pub host: u32,
    pub printer: u32,
    pub is_default: String,
    pub anon1: String,
    pub anon2: String,
    pub anon3: String,
    pub anon4: String,
    pub anon5: String,
}

impl PrinterAssociation {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Index by printer.
    pub const BY_PRINTER: usize = 1;
}

impl Class for PrinterAssociation {
    const NAME: &'static str = "printerassociation";
    const ABOUT: &'static str = "A printer that the client sets up on one host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required().about("The host, by its id."),
        Field::reference("printerID", |c: &Self| c.printer, |c, id| c.printer = id)
            .required()
            .about("The printer, by its id."),
        Field::text("isDefault", 2, |c: &Self| &c.is_default, |c| &mut c.is_default)
            .about("`1` for the default printer of the host."),
        Field::text("anon1", 2, |c: &Self| &c.anon1, |c| &mut c.anon1)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
        Field::text("anon2", 2, |c: &Self| &c.anon2, |c| &mut c.anon2)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
        Field::text("anon3", 2, |c: &Self| &c.anon3, |c| &mut c.anon3)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
        Field::text("anon4", 2, |c: &Self| &c.anon4, |c| &mut c.anon4)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
        Field::text("anon5", 2, |c: &Self| &c.anon5, |c| &mut c.anon5)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
    ];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "hostID", value: format!("{}/{}", self.host, self.printer), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_HOST { self.host } else { self.printer }.into())
    }
}
