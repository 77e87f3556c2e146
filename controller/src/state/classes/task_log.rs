//! Which states tasks have been in, and when.

use crate::state::class::{Class, id_in_field};
use crate::state::field::{Field, field};
use crate::state::value::{FogTime, leading_number};

/// A change of a task's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskLog {
    pub id: u32,
    /// Id of the task as a text: FOG's column is one, and an unset one is empty, not 0.
    pub task: String,
    pub ip: String,
    pub created_by: String,
    pub state: u32,
    pub created_time: FogTime,
}

impl TaskLog {
    /// Index by task.
    pub const BY_TASK: usize = 0;
}

impl Class for TaskLog {
    const NAME: &'static str = "tasklog";
    const ABOUT: &'static str = "A change of a task's state.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(long_text, "taskID", task).about("The task, by its id."),
        field!(text, "ip", 15, ip)
            .about("Shows the address of whoever reads it; filters and searches see the address that was stored."),
        field!(text, "createdBy", 30, created_by)
            .about("Name of the user who changed the state."),
        field!(reference, "stateID", state).about("The new state, by its id."),
        field!(time, "createdTime", created_time)
            .about("When the state changed, in UTC."),
    ];
    const ANY_ID: Option<&'static [&'static str]> = Some(&["ip"]);
    const INDEXES: usize = 1;

    id_in_field!();

    fn index_key(&self, _number: usize) -> Option<u64> {
        u64::try_from(leading_number(&self.task))
            .ok()
            .filter(|&task| task != 0)
    }
}
