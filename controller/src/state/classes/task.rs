//! Tasks: orders to do something to one host.

use foghorn_types::{TaskId, TaskTypeId};

use crate::state::class::{Class, Computed, Current, Shape, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};
use crate::state::value::{Flag, FogTime};

/// An order to do something to one host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Task {
    pub id: u32,
    pub name: String,
    pub check_in_time: FogTime,
    pub host: u32,
    pub state: u32,
    pub created_time: FogTime,
    pub created_by: String,
    pub is_forced: Flag,
    pub scheduled_start_time: FogTime,
    pub kind: Option<TaskTypeId>,
    pub pct: i64,
    pub bpm: String,
    pub time_elapsed: String,
    pub time_remaining: String,
    pub data_copied: String,
    pub percent: String,
    pub data_total: String,
    pub storagegroup: u32,
    pub storagenode: u32,
    pub failures: String,
    pub last_member: u32,
    pub shutdown: Flag,
    pub passreset: String,
    pub is_debug: i64,
    pub image: u32,
    pub wol: Flag,
}

/// Rows of [`super::TaskState`] that the program knows.
pub mod state {
    pub const QUEUED: u32 = 1;
    pub const IN_PROGRESS: u32 = 3;
    pub const COMPLETE: u32 = 4;
    /// FOG has no state for a failure: a failed task shows as cancelled, and the run says why.
    pub const CANCELLED: u32 = 5;
}

impl Task {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Active tasks, under key 0.
    pub const ACTIVE: usize = 1;
    /// Active tasks by host.
    pub const ACTIVE_BY_HOST: usize = 2;
    /// Active tasks by storage node.
    pub const BY_NODE: usize = 3;

    /// The typed id; `None` only for a task that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<TaskId> {
        TaskId::new(self.id)
    }

    /// Not complete and not cancelled.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state <= state::IN_PROGRESS
    }

    /// Its type brings snapins to its host.
    #[must_use]
    pub fn carries_snapins(&self) -> bool {
        self.kind.is_some_and(TaskTypeId::carries_snapins)
    }
}

impl Class for Task {
    const NAME: &'static str = "task";
    const ABOUT: &'static str = "An order to do something to one host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the task."),
        field!(text, "name", 250, name).information().about("Name."),
        field!(time, "checkInTime", check_in_time)
            .information()
            .about("When its host last asked for it."),
        field!(reference, "hostID", host)
            .required()
            .about("Its host."),
        field!(reference, "stateID", state).about("Its state; an object of class taskstate."),
        field!(time, "createdTime", created_time)
            .information()
            .about("When it was created."),
        field!(text, "createdBy", 200, created_by)
            .information()
            .about("Name of the user who created it."),
        field!(flag, "isForced", is_forced).about(
            "Whether it goes ahead of the queue and needs no free place on its storage node.",
        ),
        field!(time, "scheduledStartTime", scheduled_start_time)
            .without_effect()
            .about("When it was to start."),
        Field::reference(
            "typeID",
            |c: &Self| c.kind.map_or(0, TaskTypeId::get),
            |c, id| c.kind = TaskTypeId::new(id),
        )
        .required()
        .about("What is to be done; an object of class tasktype."),
        field!(number, "pct", pct)
            .within(0, 4_294_967_295, 10)
            .information()
            .about("Progress in percent."),
        field!(text, "bpm", 250, bpm)
            .information()
            .about("Speed, with its unit."),
        field!(text, "timeElapsed", 250, time_elapsed)
            .information()
            .about("Time since the start, HH:MM:SS."),
        field!(text, "timeRemaining", 250, time_remaining)
            .information()
            .about("Time to the end, HH:MM:SS."),
        field!(text, "dataCopied", 250, data_copied)
            .information()
            .about("Data that were transferred, with their unit."),
        field!(text, "percent", 250, percent)
            .information()
            .about("Progress in percent, as text."),
        field!(text, "dataTotal", 250, data_total)
            .information()
            .about("Data to transfer, with their unit."),
        field!(reference, "storagegroupID", storagegroup).about("Storage group that serves it."),
        field!(reference, "storagenodeID", storagenode).about("Storage node that serves it."),
        field!(text, "NFSFailures", 1, failures)
            .without_effect()
            .about("Failures of storage nodes; kept for old scripts."),
        field!(reference, "NFSLastMemberID", last_member)
            .without_effect()
            .about("Storage node that failed last."),
        field!(flag, "shutdown", shutdown)
            .without_effect()
            .about("Whether the machine is shut down at the end."),
        field!(text, "passreset", 250, passreset)
            .without_effect()
            .about("New password of a password reset."),
        field!(number, "isDebug", is_debug)
            .within(-8_388_608, 8_388_607, 1)
            .without_effect()
            .about("Not 0: the machine waits for a person."),
        field!(reference, "imageID", image).about("Its image."),
        field!(flag, "wol", wol).about("Whether the machine is woken up first."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "image",
            shape: Shape::Plain("image"),
            about: "Its image.",
        },
        Computed {
            name: "host",
            shape: Shape::Full("host"),
            about: "Its host.",
        },
        Computed {
            name: "type",
            shape: Shape::Plain("tasktype"),
            about: "What is to be done.",
        },
        Computed {
            name: "state",
            shape: Shape::Plain("taskstate"),
            about: "Its state.",
        },
        Computed {
            name: "storagenode",
            shape: Shape::Plain("storagenode"),
            about: "Storage node that serves it.",
        },
        Computed {
            name: "storagegroup",
            shape: Shape::Plain("storagegroup"),
            about: "Storage group that serves it.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &[
        "image",
        "host",
        "type",
        "state",
        "storagenode",
        "storagegroup",
    ];
    const NAMED: bool = true;
    const ANNOUNCED: bool = true;
    const INDEXES: usize = 4;
    const CURRENT: Option<Current> = Some(Current {
        index: Self::ACTIVE,
        field: "stateID",
    });
    const POINTED_AT: bool = true;

    id_in_field!();
    points_at_host!();

    fn name(&self) -> &str {
        &self.name
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        match number {
            Self::BY_HOST => Some(self.host.into()),
            Self::ACTIVE => self.is_active().then_some(0),
            Self::ACTIVE_BY_HOST => self.is_active().then_some(self.host.into()),
            Self::BY_NODE => self.is_active().then_some(self.storagenode.into()),
            _ => None,
        }
    }
}
