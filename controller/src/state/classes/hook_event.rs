//! Names of the events that plugins can hook.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// The name of an event that a plugin can hook.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HookEvent {
    pub id: u32,
    pub name: String,
}

impl Class for HookEvent {
    const NAME: &'static str = "hookevent";
    const ABOUT: &'static str = "The name of an event that a plugin can hook.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 255, name)
            .required()
            .about("Name of the event; no two share one."),
    ];

    id_in_field!();
    unique_name!();
}
