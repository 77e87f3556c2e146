//! Tasks that are created later: once at a moment, or again and again by the calendar.

use foghorn_types::Timestamp;

use crate::state::class::{Class, Computed, Current, Reference, Shape, Unique, id_in_field};
use crate::state::classes::{Group, Host};
use crate::state::cron::Fields;
use crate::state::field::{Field, field};

/// A task that is created later.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScheduledTask {
    pub id: u32,
    pub name: String,
    pub description: String,
    /// See [`ScheduledTask::ONCE`] and [`ScheduledTask::BY_CALENDAR`].
    pub kind: String,
    pub task_type: u32,
    pub minute: String,
    pub hour: String,
    pub day_of_month: String,
    pub month: String,
    pub day_of_week: String,
    pub is_group_task: String,
    /// A host, or a group when `is_group_task` says so.
    pub target: u32,
    pub shutdown: String,
    pub other1: String,
    pub other2: String,
    pub other3: String,
    pub other4: String,
    pub other5: String,
    /// Seconds since 1970.
    pub schedule_time: i64,
    pub is_active: String,
    pub image: u32,
}

/// Whose tasks a schedule creates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Host(u32),
    Group(u32),
}

impl ScheduledTask {
    /// `type` of a task that is created once.
    pub const ONCE: &'static str = "S";
    /// `type` of a task that is created by the calendar.
    pub const BY_CALENDAR: &'static str = "C";

    /// Index by host, without what is meant for groups.
    pub const BY_HOST: usize = 0;
    /// Those that are switched on, under key 0.
    pub const ACTIVE: usize = 1;
    /// Index by group, without what is meant for hosts.
    pub const BY_GROUP: usize = 2;

    #[must_use]
    pub fn target(&self) -> Target {
        if is_yes(&self.is_group_task) {
            Target::Group(self.target)
        } else {
            Target::Host(self.target)
        }
    }

    #[must_use]
    pub fn is_active(&self) -> bool {
        is_yes(&self.is_active)
    }

    #[must_use]
    pub fn by_calendar(&self) -> bool {
        self.kind == Self::BY_CALENDAR
    }

    /// The moment of a task that is created once; `None` when none was set.
    #[must_use]
    pub fn moment(&self) -> Option<Timestamp> {
        (self.schedule_time > 0)
            .then(|| Timestamp::from_millis(self.schedule_time.saturating_mul(1000)))
    }

    pub(crate) fn calendar(&self) -> Fields<'_> {
        Fields([
            ("minute", &self.minute),
            ("hour", &self.hour),
            ("dayOfMonth", &self.day_of_month),
            ("month", &self.month),
            ("dayOfWeek", &self.day_of_week),
        ])
    }

    /// Whether another time is meant than before.
    pub(crate) fn is_timed_like(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.calendar() == other.calendar()
            && self.schedule_time == other.schedule_time
            && self.is_active() == other.is_active()
    }
}

/// FOG's switches in this class are texts.
fn is_yes(switch: &str) -> bool {
    switch == "1"
}

/// The year 9999 begins a little later; calendars end with it.
const MOST_SECONDS: i64 = 253_370_764_800;

impl Class for ScheduledTask {
    const NAME: &'static str = "scheduledtask";
    const ABOUT: &'static str =
        "A task that is created later: once at a moment, or repeatedly by the calendar.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the scheduled task."),
        field!(text, "name", 240, name).about("Name, which the tasks it creates carry too."),
        field!(long_text, "description", description).about("Free text."),
        field!(text, "type", 24, kind).required().about(
            "`S`: once, at `scheduleTime`. `C`: by the calendar, in the five fields of a crontab.",
        ),
        field!(reference, "taskType", task_type)
            .required()
            .about("Id of the task type that is created."),
        field!(text, "minute", 240, minute)
            .about("Minutes of the hour, 0 to 59, as in a crontab. On create write `00` for 0."),
        field!(text, "hour", 240, hour).about(
            "Hours of the day, 0 to 23, in the site's time zone. On create write `00` for 0.",
        ),
        field!(text, "dayOfMonth", 240, day_of_month)
            .about("Days of the month, 1 to 31; `dayOfWeek` must fit as well."),
        field!(text, "month", 240, month).about("Months of the year, 1 to 12."),
        field!(text, "dayOfWeek", 240, day_of_week)
            .about("Days of the week, 1 (Monday) to 7; Sunday is 0 too."),
        field!(text, "isGroupTask", 2, is_group_task).about(
            "`1`: for the hosts that are in the group at that time, and `hostID` is the group.",
        ),
        field!(reference, "hostID", target)
            .required()
            .about("Id of the host, or of the group when `isGroupTask` is 1."),
        field!(text, "shutdown", 2, shutdown).about("`1`: power the host off afterwards."),
        field!(text, "other1", 240, other1).about("New password of a password reset."),
        field!(text, "other2", 240, other2)
            .about("Snapins to run: `-1` for all of the host's, or the id of one."),
        field!(text, "other3", 240, other3).about("Who the tasks are created by."),
        field!(text, "other4", 240, other4).about("`1`: wake the host first."),
        field!(text, "other5", 240, other5).about("Kept, without a meaning."),
        field!(number, "scheduleTime", schedule_time)
            .within(0, MOST_SECONDS, 1)
            .about("Moment of a task that is created once, in seconds since 1970 (UTC)."),
        field!(text, "isActive", 2, is_active).about(
            "`1`: switched on. One that is created once is switched off when that has happened.",
        ),
        field!(reference, "imageID", image)
            .about("Kept; a host is given the image that it has when the task is created."),
    ];
    const SPELLINGS: &'static [(&'static str, &'static str)] = &[("taskTypeID", "taskType")];
    const ACCEPTS: &'static [Computed] = &[Computed {
        name: "taskTypeID",
        shape: Shape::Integer,
        about: "The same as `taskType`.",
    }];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "host",
            shape: Shape::Sometimes("host"),
            about: "The host; absent when it is for a group.",
        },
        Computed {
            name: "group",
            shape: Shape::Sometimes("group"),
            about: "The group; absent when it is for a host.",
        },
        Computed {
            name: "tasktype",
            shape: Shape::Plain("tasktype"),
            about: "What is created.",
        },
        Computed {
            name: "runtime",
            shape: Shape::Text,
            about: "When it comes next, as `YYYY-MM-DD HH:MM` in the site's time zone.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["host", "group", "tasktype"];
    const NAMED: bool = true;
    const INDEXES: usize = 3;
    const ANNOUNCED: bool = true;
    const CURRENT: Option<Current> = Some(Current {
        index: Self::ACTIVE,
        field: "isActive",
    });

    id_in_field!();

    fn points_at(&self) -> Vec<Reference> {
        match self.target() {
            Target::Host(host) => vec![Reference::to::<Host>(host)],
            Target::Group(group) => vec![Reference::to::<Group>(group)],
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        Unique::name_unless_empty(&self.name)
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        match (number, self.target()) {
            (Self::BY_HOST, Target::Host(host)) => Some(host.into()),
            (Self::BY_GROUP, Target::Group(group)) => Some(group.into()),
            (Self::ACTIVE, _) => self.is_active().then_some(0),
            _ => None,
        }
    }
}
