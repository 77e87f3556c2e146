//! Tasks: orders to do something to one host.

use foghorn_lifecycle::TaskState as RunState;
use foghorn_types::{TaskId, Timestamp};

use super::{
    Host, Image, MulticastSessionAssociation, SnapinJob, SnapinTask, StorageGroup, StorageNode, TaskState, TaskType,
};
use crate::state::Refusal;
use crate::state::class::{Body, Current, Row, Write};
use crate::state::class::{Class, Computed, Shape};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::needle::Needle;
use crate::state::scene::Scene;
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
    pub kind: u32,
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

/// Rows of [`TaskState`] that the program knows.
pub mod state {
    pub const QUEUED: u32 = 1;
    pub const CHECKED_IN: u32 = 2;
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

    /// Its type brings snapins to its host: deploys but the one without snapins, and the two types that do nothing else.
    #[must_use]
    pub fn carries_snapins(&self) -> bool {
        matches!(self.kind, 1 | 8 | 12 | 13 | 15)
    }

    /// Deploys an image to its host, by unicast.
    #[must_use]
    pub fn is_deploy(&self) -> bool {
        matches!(self.kind, 1 | 15 | 17)
    }
}

/// Ends the run of a task, so that whoever serves it stops.
///
/// # Errors
/// Never for a run that has ended already.
pub(crate) fn end_run(draft: &mut Draft<'_>, task: &Task, reason: &str) {
    let Some(run) = task.key().and_then(|task| draft.tables().runs().get(task)) else { return };
    if let Some(cancelled) = run.cancelled(Timestamp::now(), reason) {
        draft.require(run.unchanged());
        draft.operate(cancelled.put_op());
    }
}

/// Cancels the snapin jobs that came with a task, as far as there is room: a job ends after its tasks.
///
/// # Errors
/// What the draft refuses.
pub(crate) fn end_snapins(draft: &mut Draft<'_>, task: &Task, now: Timestamp) -> Result<(), Refusal> {
    if !task.carries_snapins() {
        return Ok(());
    }
    let tables = draft.tables();
    for job in tables.of::<SnapinJob>().by(SnapinJob::ACTIVE_BY_HOST, task.host.into()) {
        for row in tables.of::<SnapinTask>().by(SnapinTask::BY_JOB, job.id.into()) {
            if row.is_active() && draft.has_room(1, row.stored_bytes()) {
                draft.update(row, &row.cancelled(now))?;
            }
        }
        if draft.has_room(1, job.stored_bytes()) {
            draft.update(job, &SnapinJob { state: state::CANCELLED, ..SnapinJob::clone(job) })?;
        }
    }
    Ok(())
}

impl Class for Task {
    const NAME: &'static str = "task";
    const ABOUT: &'static str = "An order to do something to one host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the task."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name).about("Name."),
        Field::time("checkInTime", |c: &Self| &c.check_in_time, |c| &mut c.check_in_time)
            .about("When its host last asked for it."),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required().about("Its host."),
        Field::reference("stateID", |c: &Self| c.state, |c, id| c.state = id)
            .about("Its state; an object of class taskstate."),
        Field::time("createdTime", |c: &Self| &c.created_time, |c| &mut c.created_time).about("When it was created."),
        Field::text("createdBy", 200, |c: &Self| &c.created_by, |c| &mut c.created_by)
            .about("Name of the user who created it."),
        Field::flag("isForced", |c: &Self| &c.is_forced, |c| &mut c.is_forced)
            .about("Whether it goes ahead of the queue."),
        Field::time("scheduledStartTime", |c: &Self| &c.scheduled_start_time, |c| &mut c.scheduled_start_time)
            .about("When it was to start."),
        Field::reference("typeID", |c: &Self| c.kind, |c, id| c.kind = id)
            .required()
            .about("What is to be done; an object of class tasktype."),
        Field::number("pct", |c: &Self| &c.pct, |c| &mut c.pct)
            .within(0, 4_294_967_295, 10)
            .about("Progress in percent."),
        Field::text("bpm", 250, |c: &Self| &c.bpm, |c| &mut c.bpm).about("Speed, with its unit."),
        Field::text("timeElapsed", 250, |c: &Self| &c.time_elapsed, |c| &mut c.time_elapsed)
            .about("Time since the start, HH:MM:SS."),
        Field::text("timeRemaining", 250, |c: &Self| &c.time_remaining, |c| &mut c.time_remaining)
            .about("Time to the end, HH:MM:SS."),
        Field::text("dataCopied", 250, |c: &Self| &c.data_copied, |c| &mut c.data_copied)
            .about("Data that were transferred, with their unit."),
        Field::text("percent", 250, |c: &Self| &c.percent, |c| &mut c.percent).about("Progress in percent, as text."),
        Field::text("dataTotal", 250, |c: &Self| &c.data_total, |c| &mut c.data_total)
            .about("Data to transfer, with their unit."),
        Field::reference("storagegroupID", |c: &Self| c.storagegroup, |c, id| c.storagegroup = id)
            .about("Storage group that serves it."),
        Field::reference("storagenodeID", |c: &Self| c.storagenode, |c, id| c.storagenode = id)
            .about("Storage node that serves it."),
        Field::text("NFSFailures", 1, |c: &Self| &c.failures, |c| &mut c.failures)
            .about("Failures of storage nodes; kept for old scripts."),
        Field::reference("NFSLastMemberID", |c: &Self| c.last_member, |c, id| c.last_member = id)
            .about("Storage node that failed last."),
        Field::flag("shutdown", |c: &Self| &c.shutdown, |c| &mut c.shutdown)
            .about("Whether the machine is shut down at the end."),
        Field::text("passreset", 250, |c: &Self| &c.passreset, |c| &mut c.passreset)
            .about("New password of a password reset."),
        Field::number("isDebug", |c: &Self| &c.is_debug, |c| &mut c.is_debug)
            .within(-8_388_608, 8_388_607, 1)
            .about("Not 0: the machine waits for a person."),
        Field::reference("imageID", |c: &Self| c.image, |c, id| c.image = id).about("Its image."),
        Field::flag("wol", |c: &Self| &c.wol, |c| &mut c.wol).about("Whether the machine is woken up first."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed { name: "image", shape: Shape::Plain("image"), about: "Its image." },
        Computed { name: "host", shape: Shape::Full("host"), about: "Its host." },
        Computed { name: "type", shape: Shape::Plain("tasktype"), about: "What is to be done." },
        Computed { name: "state", shape: Shape::Plain("taskstate"), about: "Its state." },
        Computed { name: "storagenode", shape: Shape::Plain("storagenode"), about: "Storage node that serves it." },
        Computed { name: "storagegroup", shape: Shape::Plain("storagegroup"), about: "Storage group that serves it." },
    ];
    const RELATIONS: &'static [&'static str] = &["image", "host", "type", "state", "storagenode", "storagegroup"];
    const NAMED: bool = true;
    const ANNOUNCED: bool = true;
    const INDEXES: usize = 4;
    const CURRENT: Option<Current> = Some(Current { index: Self::ACTIVE, field: "stateID" });

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

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

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let tables = scene.tables;
        let node = row.and_then(|row| tables.of::<StorageNode>().get(row.storagenode)).map(AsRef::as_ref);
        let group = node.and_then(|node| tables.of::<StorageGroup>().get(node.storagegroup)).map(AsRef::as_ref);
        out.plain("image", row.and_then(|row| tables.of::<Image>().get(row.image)).map(AsRef::as_ref), scene);
        out.full("host", row.and_then(|row| tables.of::<Host>().get(row.host)).map(AsRef::as_ref), scene);
        out.plain("type", row.and_then(|row| tables.of::<TaskType>().get(row.kind)).map(AsRef::as_ref), scene);
        out.plain("state", row.and_then(|row| tables.of::<TaskState>().get(row.state)).map(AsRef::as_ref), scene);
        out.plain("storagenode", node, scene);
        out.plain("storagegroup", group, scene);
    }

    fn overlay(&self, scene: &Scene<'_>) -> Option<Self> {
        let progress = scene.glance.progress(self.key().filter(|_| self.is_active())?)?;
        Some(Self {
            pct: progress.percent.into(),
            percent: progress.percent.to_string(),
            bpm: progress.speed,
            time_elapsed: progress.elapsed,
            time_remaining: progress.remaining,
            data_copied: progress.copied,
            data_total: progress.total,
            ..self.clone()
        })
    }

    fn found_by_relation(row: &Row<Self>, scene: &Scene<'_>, needle: &Needle) -> bool {
        let tables = scene.tables;
        tables.hosts().get(row.host).is_some_and(|host| needle.hits(&host.name))
            || tables.images().get(row.image).is_some_and(|image| needle.hits(&image.name))
            || tables.of::<TaskType>().get(row.kind).is_some_and(|kind| needle.hits(&kind.name))
            || tables.of::<TaskState>().get(row.state).is_some_and(|state| needle.hits(&state.name))
    }

    fn on_write(draft: &mut Draft<'_>, object: &mut Self, write: Write<'_, Self>, _body: &Body) -> Result<(), Refusal> {
        let row = match write {
            // As on a FOG server: tasks come from hosts and groups (`app::tasks`), never from a bare create.
            Write::Create => return Err(Refusal::Missing { field: "id" }),
            Write::Edit(row) => row,
        };
        let Some(run) = row.key().and_then(|task| draft.tables().runs().get(task)) else { return Ok(()) };
        // What the run works with stays. As FOG's clients send whole rows back, such fields are passed over, not refused.
        (object.kind, object.host, object.image) = (row.kind, row.host, row.image);
        (object.storagegroup, object.storagenode) = (row.storagegroup, row.storagenode);
        let begun = matches!(run.life.state(), RunState::CheckedIn { .. } | RunState::Running { .. });
        if begun || run.is_finished() {
            // A row that is set to "complete" now would free its host while a node still writes to its disk.
            object.state = row.state;
        } else if !object.is_active() {
            end_run(draft, row, "ended by an edit of the task before its host appeared");
        }
        Ok(())
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        end_run(draft, row, "the task was deleted");
        for member in
            draft.tables().of::<MulticastSessionAssociation>().by(MulticastSessionAssociation::BY_TASK, row.id.into())
        {
            draft.delete(member);
        }
        if !row.is_active() {
            return Ok(());
        }
        end_snapins(draft, row, Timestamp::now())
    }
}
