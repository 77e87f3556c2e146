//! Local accounts that FOG's client leaves alone when it removes stale ones.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

/// A local account, or a pattern of names, that the client leaves alone when it removes stale
/// accounts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserCleanup {
    pub id: u32,
    pub name: String,
}

impl Class for UserCleanup {
    const NAME: &'static str = "usercleanup";
    const ABOUT: &'static str = "A local account, or a pattern of names, that the client leaves alone when it removes stale accounts.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::text("name", 254, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the account; `*` and a name that ends in `_` stand for several."),
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
