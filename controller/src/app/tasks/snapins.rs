//! The snapins that come with a task: their job and its tasks are created, joined and cancelled
//! together with it.
//!
//! What exists once per task (the row, its run, the job) is stored in the first transaction. There
//! may be more snapin tasks than fit into a transaction: they are stored by [`Pending::settle`], in
//! that transaction as far as there is room and in further ones until nothing is left.

use foghorn_types::{TaskTypeId, Timestamp};
use serde_json::Value;

use crate::state::class::Body;
use crate::state::classes::task::state;
use crate::state::classes::{Host, SnapinAssociation, SnapinJob, SnapinTask, Task};
use crate::state::value::{ids, is_falsy, scalar};
use crate::state::{Draft, Refusal, Row, Tables};

/// Upper limit for the size of a snapin task and its guard as stored.
const TASK_BYTES: usize = 1024;

/// The meaning of `deploySnapins`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    Nothing,
    /// All snapins that the host has now.
    All,
    /// These, whether the host has them or not.
    These(Vec<u32>),
}

impl Wanted {
    /// `true` and -1 are all, a number or a list of numbers is these, what PHP takes for false is
    /// nothing.
    pub(super) fn read(body: &Body) -> Result<Self, Refusal> {
        const NAME: &str = "deploySnapins";
        let Some(value) = body.get(NAME).filter(|value| !is_falsy(value)) else {
            return Ok(Self::Nothing);
        };
        let text = scalar(value).ok().flatten();
        match text.as_deref() {
            Some("false") => return Ok(Self::Nothing),
            Some("-1" | "true") => return Ok(Self::All),
            _ if *value == Value::Bool(true) => return Ok(Self::All),
            _ => {}
        }
        let these = ids(value);
        let sent = value.as_array().map_or(1, Vec::len);
        if these.is_empty() || these.len() > sent {
            let why = "expected true or -1 for all snapins, or the id of one".to_owned();
            return Err(Refusal::Invalid { field: NAME, why });
        }
        Ok(Self::These(these))
    }

    /// What a task of this type does with it.
    pub(super) fn for_task(&self, kind: TaskTypeId) -> &Self {
        if kind.carries_snapins() {
            self
        } else {
            &Self::Nothing
        }
    }

    fn of_host(&self, tables: &Tables, host: &Host) -> Vec<u32> {
        match self {
            Self::Nothing => Vec::new(),
            Self::All => {
                let table = tables.of::<SnapinAssociation>();
                table
                    .by(SnapinAssociation::BY_HOST, host.id.into())
                    .map(|row| row.snapin)
                    .collect()
            }
            Self::These(these) => these.clone(),
        }
    }
}

/// Snapin tasks that are still to be created or ended.
#[derive(Default)]
pub(crate) struct Pending {
    /// Jobs whose active tasks end.
    ended: Vec<u32>,
    /// Jobs and the snapins that they are to have.
    wanted: Vec<(u32, Vec<u32>)>,
}

impl Pending {
    /// Adds the snapins of a task to the job of its host, or to a new job.
    pub(super) fn bring(
        &mut self,
        draft: &mut Draft<'_>,
        host: &Host,
        wanted: &Wanted,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        if *wanted == Wanted::Nothing {
            return Ok(());
        }
        let mut active = draft
            .tables()
            .of::<SnapinJob>()
            .by(SnapinJob::ACTIVE_BY_HOST, host.id.into());
        match active.find(|job| !self.ended.contains(&job.id)) {
            Some(job) => {
                draft.unchanged(job);
                self.wanted
                    .push((job.id, wanted.of_host(draft.tables(), host)));
            }
            None => self.bring_new(draft, host, wanted, at)?,
        }
        Ok(())
    }

    /// Adds a new job for a host.
    fn bring_new(
        &mut self,
        draft: &mut Draft<'_>,
        host: &Host,
        wanted: &Wanted,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let job = SnapinJob {
            id: 0,
            host: host.id,
            state: state::QUEUED,
            created_time: at.into(),
        };
        let job = draft.insert(job)?;
        self.wanted
            .push((job, wanted.of_host(draft.tables(), host)));
        Ok(())
    }

    /// Adds what a group's task brings to one of its hosts: always a new job, and none for a host
    /// without snapins.
    pub(super) fn bring_for_group(
        &mut self,
        draft: &mut Draft<'_>,
        host: &Host,
        wanted: &Wanted,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        if wanted.of_host(draft.tables(), host).is_empty() {
            return Ok(());
        }
        self.bring_new(draft, host, wanted, at)
    }

    /// Cancels the snapin jobs that go with a task.
    pub(crate) fn end_with(&mut self, draft: &mut Draft<'_>, task: &Task) -> Result<(), Refusal> {
        if !task.carries_snapins() {
            return Ok(());
        }
        let tables = draft.tables();
        for job in tables
            .of::<SnapinJob>()
            .by(SnapinJob::ACTIVE_BY_HOST, task.host.into())
        {
            self.end_job(draft, job)?;
        }
        Ok(())
    }

    /// Cancels a job and its tasks.
    pub(super) fn end_job(
        &mut self,
        draft: &mut Draft<'_>,
        job: &Row<SnapinJob>,
    ) -> Result<(), Refusal> {
        draft.update(
            job,
            &SnapinJob {
                state: state::CANCELLED,
                ..SnapinJob::clone(job)
            },
        )?;
        self.end_tasks_of(job.id);
        Ok(())
    }

    /// Cancels the tasks of a job and leaves the job as it is.
    pub(super) fn end_tasks_of(&mut self, job: u32) {
        if !self.ended.contains(&job) {
            self.ended.push(job);
        }
    }

    /// Stores the pending snapin tasks, as far as the draft has room. For
    /// [`crate::state::State::write_in_steps`].
    pub(crate) fn settle(&self, draft: &mut Draft<'_>, at: Timestamp) -> Result<(), Refusal> {
        for job in &self.ended {
            for task in draft
                .tables()
                .of::<SnapinTask>()
                .by(SnapinTask::BY_JOB, (*job).into())
            {
                if task.is_active() && draft.has_room(1, TASK_BYTES) {
                    draft.update(task, &task.cancelled(at))?;
                }
            }
        }
        for (job, snapins) in &self.wanted {
            add_tasks(draft, *job, snapins, at)?;
        }
        Ok(())
    }
}

/// Gives a job a task for each of these snapins. One that it had and that has ended is run again.
fn add_tasks(
    draft: &mut Draft<'_>,
    job: u32,
    snapins: &[u32],
    at: Timestamp,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    if let Some(row) = tables.of::<SnapinJob>().get(job) {
        // It may have ended since an earlier step: nobody would run what came then.
        if !row.is_active() || !draft.has_room(1, 1) {
            return Ok(());
        }
        draft.unchanged(row);
        draft.take_turn_of::<SnapinJob>(job);
    }
    let present: Vec<_> = tables
        .of::<SnapinTask>()
        .by(SnapinTask::BY_JOB, job.into())
        .collect();
    for snapin in snapins {
        match present.iter().find(|task| task.snapin == *snapin) {
            Some(task) if task.is_active() => {}
            Some(task) => {
                if draft.has_room(1, TASK_BYTES) {
                    draft.update(
                        task,
                        &SnapinTask {
                            state: state::QUEUED,
                            ..SnapinTask::clone(task)
                        },
                    )?;
                }
            }
            None => {
                if draft.has_room(4, TASK_BYTES) {
                    let (state, checkin) = (state::QUEUED, at.into());
                    draft.insert(SnapinTask {
                        job,
                        snapin: *snapin,
                        state,
                        checkin,
                        ..SnapinTask::default()
                    })?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deploy_snapins_has_many_spellings() {
        let read = |value: Value| {
            Wanted::read(&[("deploySnapins".to_owned(), value)].into_iter().collect())
        };
        for (value, wanted) in [
            (json!(null), Wanted::Nothing),
            (json!(false), Wanted::Nothing),
            (json!(0), Wanted::Nothing),
            (json!(true), Wanted::All),
            (json!(-1), Wanted::All),
            (json!("-1"), Wanted::All),
            (json!(2), Wanted::These(vec![2])),
            (json!("2"), Wanted::These(vec![2])),
            (json!([2, "3"]), Wanted::These(vec![2, 3])),
        ] {
            assert_eq!(read(value.clone()).unwrap(), wanted, "{value}");
        }
        for value in [json!("all"), json!({"id": 1}), json!(-2), json!([{}])] {
            assert!(
                matches!(
                    read(value.clone()),
                    Err(Refusal::Invalid {
                        field: "deploySnapins",
                        ..
                    })
                ),
                "{value}"
            );
        }
        assert_eq!(
            *Wanted::All.for_task(TaskTypeId::DEPLOY_WITHOUT_SNAPINS),
            Wanted::Nothing
        );
        assert_eq!(*Wanted::All.for_task(TaskTypeId::CAPTURE), Wanted::Nothing);
        assert_eq!(*Wanted::All.for_task(TaskTypeId::DEPLOY), Wanted::All);
    }
}
