//! Who logged in and out of which host, and when.

use super::host::Host;
use crate::state::class::{Class, Computed, Shape, id_in_field};
use crate::state::field::Field;
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
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id)
            .required()
            .about("The host, by its id."),
        Field::text("username", 50, |c: &Self| &c.username, |c| &mut c.username)
            .required()
            .about("Name of the user on the host."),
        Field::text("action", 2, |c: &Self| &c.action, |c| &mut c.action)
            .about("`1` log-in, `0` log-out, `99` start of the client."),
        Field::time("datetime", |c: &Self| &c.at, |c| &mut c.at).about("When it happened, in UTC."),
        Field::text(
            "description",
            250,
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("More about it, in words."),
        Field::date("date", |c: &Self| &c.date, |c| &mut c.date).about("Day on which it happened."),
        Field::text("anon3", 2, |c: &Self| &c.anon3, |c| &mut c.anon3)
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

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
