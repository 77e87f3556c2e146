//! States that a task goes through.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};

/// States that a task goes through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskState {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub order: i64,
    pub icon: String,
}

impl Class for TaskState {
    const NAME: &'static str = "taskstate";
    const ABOUT: &'static str = "A state that tasks go through.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the state."),
        field!(text, "name", 30, name)
            .required()
            .about("Name, unique without case."),
        field!(long_text, "description", description).about("Free text."),
        field!(number, "order", order)
            .within(-128, 127, 1)
            .about("Place among the states."),
        field!(text, "icon", 255, icon).about("Name of its icon."),
    ];

    id_in_field!();
    unique_name!();
}
