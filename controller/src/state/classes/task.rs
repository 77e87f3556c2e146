//! Tasks: orders to do something to one host.

use foghorn_types::{TaskId, TaskTypeId};

use crate::state::class::{Class, Computed, Current, Shape, id_in_field};
use crate::state::field::Field;
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
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name).about("Name."),
        Field::time(
            "checkInTime",
            |c: &Self| &c.check_in_time,
            |c| &mut c.check_in_time,
        )
        .about("When its host last asked for it."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id)
            .required()
            .about("Its host."),
        Field::reference("stateID", |c: &Self| c.state, |c, id| c.state = id)
            .about("Its state; an object of class taskstate."),
        Field::time(
            "createdTime",
            |c: &Self| &c.created_time,
            |c| &mut c.created_time,
        )
        .about("When it was created."),
        Field::text(
            "createdBy",
            200,
            |c: &Self| &c.created_by,
            |c| &mut c.created_by,
        )
        .about("Name of the user who created it."),
        Field::flag("isForced", |c: &Self| &c.is_forced, |c| &mut c.is_forced)
            .about("Whether it goes ahead of the queue."),
        Field::time(
            "scheduledStartTime",
            |c: &Self| &c.scheduled_start_time,
            |c| &mut c.scheduled_start_time,
        )
        .about("When it was to start."),
        Field::reference(
            "typeID",
            |c: &Self| c.kind.map_or(0, TaskTypeId::get),
            |c, id| c.kind = TaskTypeId::new(id),
        )
        .required()
        .about("What is to be done; an object of class tasktype."),
        Field::number("pct", |c: &Self| &c.pct, |c| &mut c.pct)
            .within(0, 4_294_967_295, 10)
            .about("Progress in percent."),
        Field::text("bpm", 250, |c: &Self| &c.bpm, |c| &mut c.bpm).about("Speed, with its unit."),
        Field::text(
            "timeElapsed",
            250,
            |c: &Self| &c.time_elapsed,
            |c| &mut c.time_elapsed,
        )
        .about("Time since the start, HH:MM:SS."),
        Field::text(
            "timeRemaining",
            250,
            |c: &Self| &c.time_remaining,
            |c| &mut c.time_remaining,
        )
        .about("Time to the end, HH:MM:SS."),
        Field::text(
            "dataCopied",
            250,
            |c: &Self| &c.data_copied,
            |c| &mut c.data_copied,
        )
        .about("Data that were transferred, with their unit."),
        Field::text("percent", 250, |c: &Self| &c.percent, |c| &mut c.percent)
            .about("Progress in percent, as text."),
        Field::text(
            "dataTotal",
            250,
            |c: &Self| &c.data_total,
            |c| &mut c.data_total,
        )
        .about("Data to transfer, with their unit."),
        Field::reference(
            "storagegroupID",
            |c: &Self| c.storagegroup,
            |c, id| c.storagegroup = id,
        )
        .about("Storage group that serves it."),
        Field::reference(
            "storagenodeID",
            |c: &Self| c.storagenode,
            |c, id| c.storagenode = id,
        )
        .about("Storage node that serves it."),
        Field::text(
            "NFSFailures",
            1,
            |c: &Self| &c.failures,
            |c| &mut c.failures,
        )
        .about("Failures of storage nodes; kept for old scripts."),
        Field::reference(
            "NFSLastMemberID",
            |c: &Self| c.last_member,
            |c, id| c.last_member = id,
        )
        .about("Storage node that failed last."),
        Field::flag("shutdown", |c: &Self| &c.shutdown, |c| &mut c.shutdown)
            .about("Whether the machine is shut down at the end."),
        Field::text(
            "passreset",
            250,
            |c: &Self| &c.passreset,
            |c| &mut c.passreset,
        )
        .about("New password of a password reset."),
        Field::number("isDebug", |c: &Self| &c.is_debug, |c| &mut c.is_debug)
            .within(-8_388_608, 8_388_607, 1)
            .about("Not 0: the machine waits for a person."),
        Field::reference("imageID", |c: &Self| c.image, |c, id| c.image = id).about("Its image."),
        Field::flag("wol", |c: &Self| &c.wol, |c| &mut c.wol)
            .about("Whether the machine is woken up first."),
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

    id_in_field!();

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
