//! Local accounts that FOG's client leaves alone when it removes stale ones.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

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
        field!(text, "name", 254, name)
            .required()
            .about("Name of the account; `*` and a name that ends in `_` stand for several."),
    ];

    id_in_field!();
    unique_name!();
}
