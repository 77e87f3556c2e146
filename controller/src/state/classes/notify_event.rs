//! Names of the events that people can be told about.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 255, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name of the event; no two share one."),
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
