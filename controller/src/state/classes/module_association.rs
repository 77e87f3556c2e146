//! Which parts of the client are on, on which hosts.

use crate::state::class::{Clash, Class, Unique};
use crate::state::field::Field;

/// Whether a part of the client is on, on one host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModuleAssociation {
    pub id: u32,
    pub host: u32,
    pub module: u32,
    pub state: String,
}

impl ModuleAssociation {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Index by module.
    pub const BY_MODULE: usize = 1;
}

impl Class for ModuleAssociation {
    const NAME: &'static str = "moduleassociation";
    const ABOUT: &'static str = "Whether a part of the client is on, on one host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required().about("The host, by its id."),
        Field::reference("moduleID", |c: &Self| c.module, |c, id| c.module = id)
            .required()
            .about("The part of the client, by its id."),
        Field::text("state", 1, |c: &Self| &c.state, |c| &mut c.state).about("`1` for on, anything else for off."),
    ];
    const INDEXES: usize = 2;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "hostID", value: format!("{}/{}", self.host, self.module), clash: Clash::Merge }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        Some(if number == Self::BY_HOST { self.host } else { self.module }.into())
    }
}
