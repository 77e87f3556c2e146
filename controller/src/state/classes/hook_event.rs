//! Names of the events that plugins can hook.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
