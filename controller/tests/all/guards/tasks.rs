//! Tasks, and what ends while they come.

use std::sync::Arc;

use foghorn_controller::app::sessions::{self, Settle};
use foghorn_controller::app::snapin_run::{self, Next, SnapinOutcome};
use foghorn_controller::app::task_outcome::fog_state;
use foghorn_controller::app::tasks;
use foghorn_controller::state::Tables;
use foghorn_controller::state::classes::{
    MulticastSession, MulticastSessionAssociation, SnapinJob, SnapinTask, Task,
};
use foghorn_types::{HostId, SessionId, TaskId, Timestamp};
use futures_util::FutureExt as _;
use serde_json::json;

use super::fleet::{Fleet, Pair};
use super::once::{awaited, checks_in};

pub(super) async fn order_and_host_goes(fleet: Arc<Fleet>, number: usize) -> Pair {
    let (host, kind) = (fleet.host().await, [2, 1, 12, 10][number % 4]);
    let order = fleet.order(0, host, json!({"taskTypeID": kind}));
    Pair::new(order, fleet.delete(1, "host", host), move |after| {
        after.let_go(("host", host), |row: &Task| row.host == host)?;
        after.let_go(("host", host), |row: &SnapinJob| row.host == host)?;
        let (runs, hosts) = (after.tables.runs(), after.tables.hosts());
        let mut left = runs.active().filter(|run| run.host.get() == host);
        match left.find(|_| hosts.get(host).is_none()) {
            Some(run) => Err(format!("task {} runs for a host that is gone", run.task)),
            None => Ok(()),
        }
    })
}

pub(super) async fn order_and_image_goes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, image) = (fleet.host().await, fleet.named("image").await);
    fleet.servers[0].give_content(image).await;
    assert!(fleet.edit(0, "host", host, json!({"imageID": image})).await);
    let order = fleet.order(0, host, json!({"taskTypeID": 1}));
    Pair::new(order, fleet.delete(1, "image", image), move |after| {
        let is_gone = after.tables.images().get(image).is_none();
        let mut runs = after.tables.runs().active();
        match runs.find(|run| is_gone && run.image.get() == image) {
            Some(run) => Err(format!("task {} deploys an image that is gone", run.task)),
            None => Ok(()),
        }
    })
}

pub(super) async fn cancel_and_check_in(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, mac, token) = awaited(&fleet).await;
    let state = fleet.servers[0].state.clone();
    let host_id = HostId::new(host).unwrap();
    let cancel = async move { tasks::cancel_host(&state, host_id).await.is_ok() }.boxed();
    Pair::new(cancel, checks_in(&fleet, 1, mac, &token), move |after| {
        let rows = after.tables.tasks().by(Task::BY_HOST, host.into());
        for row in rows {
            let run = after
                .tables
                .runs()
                .get(&TaskId::new(row.id).unwrap())
                .unwrap();
            if !run.is_finished() || row.state != fog_state(run.life.state()) {
                return Err(format!("state {} and {:?}", row.state, run.life.state()));
            }
        }
        Ok(())
    })
}

/// A snapin is never waiting in a job that has ended: nobody would run it.
pub(super) async fn snapins_end_and_more_come(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, snapin) = (fleet.host().await, fleet.named("snapin").await);
    let more = fleet.named("snapin").await;
    let job = fleet
        .made("snapinjob", json!({"hostID": host, "stateID": 1}))
        .await;
    let task = fleet
        .made(
            "snapintask",
            json!({"jobID": job, "snapinID": snapin, "stateID": 1}),
        )
        .await;
    let (state, host_id) = (fleet.servers[0].state.clone(), HostId::new(host).unwrap());
    let next = snapin_run::next(&state, host_id, Timestamp::now())
        .await
        .unwrap();
    assert!(matches!(next, Next::Run(_)), "{next:?}");
    let ends = async move {
        let outcome = SnapinOutcome {
            exit_code: 0,
            details: String::new(),
        };
        let now = Timestamp::now();
        snapin_run::report(&state, host_id, task, &outcome, now)
            .await
            .is_ok()
    };
    let order = fleet.order(1, host, json!({"taskTypeID": 13, "deploySnapins": more}));
    Pair::new(ends.boxed(), order, move |after| {
        let jobs = after.tables.of::<SnapinJob>();
        let ended = |job: u32| jobs.get(job).is_none_or(|job| !job.is_active());
        let tasks = jobs.by(SnapinJob::BY_HOST, host.into()).flat_map(|job| {
            after
                .tables
                .of::<SnapinTask>()
                .by(SnapinTask::BY_JOB, job.id.into())
        });
        match tasks
            .into_iter()
            .find(|task| task.is_active() && ended(task.job))
        {
            Some(task) => Err(format!(
                "snapin task {} waits in ended job {}",
                task.id, task.job
            )),
            None => Ok(()),
        }
    })
}

/// A session that hosts join by its name, without a task yet.
async fn session(fleet: &Fleet) -> (u32, String) {
    let name = format!("s{}", fleet.fresh());
    let body = json!({"name": name, "image": fleet.image});
    (fleet.made("multicastsession", body).await, name)
}

/// No task waits for a session that has ended.
fn nobody_waits(tables: &Tables, session: u32) -> Result<(), String> {
    let is_active = |row: &MulticastSession| row.is_active();
    if tables
        .of::<MulticastSession>()
        .get(session)
        .is_some_and(|row| is_active(row))
    {
        return Ok(());
    }
    let members = tables
        .of::<MulticastSessionAssociation>()
        .by(MulticastSessionAssociation::BY_SESSION, session.into());
    let mut tasks = members.filter_map(|member| tables.tasks().get(member.task));
    match tasks.find(|task| task.is_active()) {
        Some(task) => Err(format!("task {} waits for session {session}", task.id)),
        None => Ok(()),
    }
}

pub(super) async fn session_settles_and_a_task_joins(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (session, name) = session(&fleet).await;
    let (first, second) = (fleet.host().await, fleet.host().await);
    let join = json!({"taskTypeID": 8, "sessionjoin": name});
    assert!(fleet.order(0, first, join.clone()).await);
    let state = fleet.servers[0].state.clone();
    tasks::cancel_host(&state, HostId::new(first).unwrap())
        .await
        .unwrap();
    let settles = async move { sessions::settle(&state, Settle::All).await.is_ok() }.boxed();
    Pair::new(settles, fleet.order(1, second, join), move |after| {
        nobody_waits(after.tables, session)
    })
}

pub(super) async fn session_is_cancelled_and_a_task_joins(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (session, name) = session(&fleet).await;
    let host = fleet.host().await;
    let (state, id) = (
        fleet.servers[0].state.clone(),
        SessionId::new(session).unwrap(),
    );
    let cancel = async move { sessions::cancel(&state, id).await.is_ok() }.boxed();
    let join = fleet.order(1, host, json!({"taskTypeID": 8, "sessionjoin": name}));
    Pair::new(cancel, join, move |after| {
        nobody_waits(after.tables, session)
    })
}

pub(super) async fn session_is_left_by_both(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (session, name) = session(&fleet).await;
    let (first, second) = (fleet.host().await, fleet.host().await);
    let join = json!({"taskTypeID": 8, "sessionjoin": name});
    for host in [first, second] {
        assert!(fleet.order(0, host, join.clone()).await);
    }
    let ends = fleet.delete(0, "host", first);
    Pair::new(ends, fleet.delete(1, "host", second), move |after| {
        let members = after.tables.of::<MulticastSessionAssociation>();
        let mut left = members.by(MulticastSessionAssociation::BY_SESSION, session.into());
        let sessions = after.tables.of::<MulticastSession>();
        let goes_on = sessions.get(session).is_some_and(|row| row.is_active());
        match left.next() {
            None if goes_on => Err(format!("session {session} goes on without a task")),
            _ => Ok(()),
        }
    })
}
