//! States that a task goes through.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::text("name", 30, |c: &Self| &c.name, |c| &mut c.name)
            .required()
            .about("Name, unique without case."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
        Field::number("order", |c: &Self| &c.order, |c| &mut c.order)
            .within(-128, 127, 1)
            .about("Place among the states."),
        Field::text("icon", 255, |c: &Self| &c.icon, |c| &mut c.icon).about("Name of its icon."),
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
