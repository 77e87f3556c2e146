//! Snapin jobs: what one host has to run, as one piece of work of one or more [`super::SnapinTask`]s.

use super::task::state;
use crate::state::class::{Class, Computed, Current, Shape, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};
use crate::state::value::FogTime;

/// What one host has to run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapinJob {
    pub id: u32,
    pub host: u32,
    pub state: u32,
    pub created_time: FogTime,
}

impl SnapinJob {
    /// Active jobs, under key 0.
    pub const ACTIVE: usize = 0;
    /// Index by host.
    pub const BY_HOST: usize = 1;
    /// Active jobs by host.
    pub const ACTIVE_BY_HOST: usize = 2;

    /// Not complete and not cancelled.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state <= state::IN_PROGRESS
    }
}

impl Class for SnapinJob {
    const NAME: &'static str = "snapinjob";
    const ABOUT: &'static str = "What one host has to run: the snapin tasks of one deployment.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the job."),
        field!(reference, "hostID", host)
            .required()
            .about("The host that runs it."),
        field!(reference, "stateID", state)
            .required()
            .about("Task state: 1 to 3 while it is active, 4 complete, 5 cancelled."),
        field!(time, "createdTime", created_time).about("When it was made, UTC."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "host",
            shape: Shape::Full("host"),
            about: "The host that runs it.",
        },
        Computed {
            name: "state",
            shape: Shape::Plain("taskstate"),
            about: "Its task state.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["host", "state"];
    const INDEXES: usize = 3;
    const CURRENT: Option<Current> = Some(Current {
        index: Self::ACTIVE,
        field: "stateID",
    });
    const POINTED_AT: bool = true;

    id_in_field!();
    points_at_host!();

    fn index_key(&self, number: usize) -> Option<u64> {
        match number {
            Self::ACTIVE => self.is_active().then_some(0),
            Self::BY_HOST => Some(self.host.into()),
            Self::ACTIVE_BY_HOST => self.is_active().then_some(self.host.into()),
            _ => None,
        }
    }
}
