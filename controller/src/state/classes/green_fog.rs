//! Times of day at which a host is switched off or restarted.

use crate::state::class::{Class, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};

/// A time of day at which the client on a host switches it off or restarts it; an older way than
/// `powermanagement`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GreenFog {
    pub id: u32,
    pub host: u32,
    pub hour: i64,
    pub min: i64,
    pub action: String,
    pub days: String,
}

impl GreenFog {
    /// Index by host.
    pub const BY_HOST: usize = 0;
}

impl Class for GreenFog {
    const NAME: &'static str = "greenfog";
    const ABOUT: &'static str = "A time of day at which the client on a host switches it off or restarts it; an older way than `powermanagement`.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(reference, "hostID", host).about("The host, by its id."),
        field!(number, "hour", hour).about("Hour of the day, 0 to 23."),
        field!(number, "min", min).about("Minute of the hour, 0 to 59."),
        field!(text, "action", 2, action).about("`s` to switch off, `r` to restart."),
        field!(text, "days", 25, days)
            .about("One digit per day from Monday on, `1` for the days that count."),
    ];
    const ANY_ID: Option<&'static [&'static str]> = Some(&[]);
    const INDEXES: usize = 1;

    id_in_field!();
    points_at_host!();

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
