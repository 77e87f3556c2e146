//! What the system did, line by line.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::field::{Field, field};
use crate::state::value::{FogTime, fold};

/// A line about something that happened in the system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    pub id: u32,
    pub info: String,
    pub created_by: String,
    pub created_time: FogTime,
    pub ip: String,
}

impl Class for History {
    const NAME: &'static str = "history";
    const ABOUT: &'static str = "A line about something that happened in the system.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(text, "info", 255, info).about("What happened, in words."),
        field!(text, "createdBy", 200, created_by).about("Name of the user who did it."),
        field!(time, "createdTime", created_time).about("When it was written, in UTC."),
        field!(text, "ip", 50, ip).about("Address from which it was done."),
    ];
    const ANY_ID: Option<&'static [&'static str]> = Some(&[]);

    id_in_field!();

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique {
            field: "info",
            value: format!("{}/{}", self.created_time.text(), fold(&self.info)),
            clash: Clash::Merge,
        }]
    }
}
