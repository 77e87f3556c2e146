//! Names of the events that people can be told about.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// The name of an event that people can be told about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NotifyEvent {
    pub id: u32,
    pub name: String,
}

impl Class for NotifyEvent {
    const NAME: &'static str = "notifyevent";
    const ABOUT: &'static str = "The name of an event that people can be told about.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "name", 255, name)
            .required()
            .about("Name of the event; no two share one."),
    ];

    id_in_field!();
    unique_name!();
}
