//! Snapin tasks: one snapin that one host has to run, as part of a [`super::SnapinJob`].

use foghorn_types::Timestamp;

use super::task::state;
use crate::state::class::{Clash, Class, Computed, Current, Reference, Shape, Unique, id_in_field};
use crate::state::classes::{Snapin, SnapinJob};
use crate::state::field::{Field, field};
use crate::state::value::FogTime;

/// One snapin that one host has to run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapinTask {
    pub id: u32,
    pub job: u32,
    pub state: u32,
    pub checkin: FogTime,
    pub complete: FogTime,
    pub snapin: u32,
    pub exit_code: i64,
    pub details: String,
}

impl SnapinTask {
    /// Active tasks, under key 0.
    pub const ACTIVE: usize = 0;
    /// Index by job.
    pub const BY_JOB: usize = 1;
    /// Index by snapin.
    pub const BY_SNAPIN: usize = 2;

    /// Not complete and not cancelled.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state <= state::IN_PROGRESS
    }

    /// The task after it was cancelled.
    #[must_use]
    pub fn cancelled(&self, at: Timestamp) -> Self {
        Self {
            state: state::CANCELLED,
            complete: at.into(),
            ..self.clone()
        }
    }
}

impl Class for SnapinTask {
    const NAME: &'static str = "snapintask";
    const ABOUT: &'static str = "One snapin that one host has to run, and how that went.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the snapin task."),
        field!(reference, "jobID", job)
            .required()
            .about("The job it is part of."),
        field!(reference, "stateID", state)
            .about("Task state: up to 3 while it is active, 4 complete, 5 cancelled."),
        field!(time, "checkin", checkin)
            .about("When it was made or, later, when the host took it, UTC."),
        field!(time, "complete", complete).about("When it ended, UTC."),
        field!(reference, "snapinID", snapin)
            .required()
            .about("What is run."),
        field!(number, "return", exit_code).about("Exit code that the host reported."),
        field!(text, "details", 250, details).about("What the host says about the outcome."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "snapin",
            shape: Shape::Plain("snapin"),
            about: "What is run.",
        },
        Computed {
            name: "state",
            shape: Shape::Plain("taskstate"),
            about: "Its task state.",
        },
        Computed {
            name: "snapinjob",
            shape: Shape::Full("snapinjob"),
            about: "The job it is part of.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["snapin", "state", "snapinjob"];
    const INDEXES: usize = 3;
    const CURRENT: Option<Current> = Some(Current {
        index: Self::ACTIVE,
        field: "stateID",
    });

    id_in_field!();

    fn points_at(&self) -> Vec<Reference> {
        vec![
            Reference::to::<SnapinJob>(self.job),
            Reference::to::<Snapin>(self.snapin),
        ]
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique {
            field: "jobID",
            value: format!("{}/{}", self.job, self.snapin),
            clash: Clash::Merge,
        }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        match number {
            Self::ACTIVE => self.is_active().then_some(0),
            Self::BY_JOB => Some(self.job.into()),
            Self::BY_SNAPIN => Some(self.snapin.into()),
            _ => None,
        }
    }
}
