//! Who logged in and out of which host, and when.

use super::host::Host;
use crate::state::class::{Class, Computed, Shape, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};
use crate::state::value::{FogDate, FogTime};

/// A log-in, log-out or start that a host has reported.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserTracking {
    pub id: u32,
    pub host: u32,
    pub username: String,
    pub action: String,
    pub at: FogTime,
    pub description: String,
    pub date: FogDate,
    pub anon3: String,
}

impl UserTracking {
    /// Index by host.
    pub const BY_HOST: usize = 0;
}

impl Class for UserTracking {
    const NAME: &'static str = "usertracking";
    const ABOUT: &'static str = "A log-in, log-out or start that a host has reported.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        field!(reference, "hostID", host)
            .required()
            .about("The host, by its id."),
        field!(text, "username", 50, username)
            .required()
            .about("Name of the user on the host."),
        field!(text, "action", 2, action)
            .about("`1` log-in, `0` log-out, `99` start of the client."),
        field!(time, "datetime", at).about("When it happened, in UTC."),
        field!(text, "description", 250, description).about("More about it, in words."),
        field!(date, "date", date).about("Day on which it happened."),
        field!(text, "anon3", 2, anon3)
            .about("Kept for clients that use it; Foghorn gives it no meaning."),
    ];
    const COMPUTED: &'static [Computed] = &[Computed {
        name: "host",
        shape: Shape::Full(Host::NAME),
        about: "The host.",
    }];
    const RELATIONS: &'static [&'static str] = &["host"];
    const INDEXES: usize = 1;

    id_in_field!();
    points_at_host!();

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
