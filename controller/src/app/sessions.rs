//! Multicast sessions: opened with their tasks, updated while these run, closed with the last of
//! them.
//!
//! This module handles the rows; how a session is sent is in [`super::multicast`].

use foghorn_types::{BitRate, ImageId, SessionId, TaskId, Timestamp};

use super::{multicast, tasks};
use crate::state::classes::task::state;
use crate::state::classes::{
    Image, MulticastSession, MulticastSessionAssociation, Service, StorageNode, Task,
};
use crate::state::multicast::{Fixed, SessionPlan, Start};
use crate::state::rules::multicast_session::{end, ended};
use crate::state::{Draft, Refusal, Row, State, Tables, TaskRefusal};

/// The setting with the port of the next session: any even port of the dynamic range, after the
/// first one has been used.
const STARTING_PORT: &str = "FOG_UDPCAST_STARTINGPORT";
/// Dynamic ports start here; the last pair of an even and an odd one is left out, as on a FOG
/// server.
const LOWEST_PORT: u32 = 49_152;
const PORTS: u32 = (65_532 - LOWEST_PORT) / 2 + 1;

/// Times that a session is cancelled again because a task has joined it meanwhile.
const CANCELS: usize = 16;

/// Start conditions and rate of a session, as far as they are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    pub start: Start,
    /// On the wire; 0 for no limit.
    pub max_rate: Option<BitRate>,
    /// The version of the image that the order names.
    pub fixed: Option<Fixed>,
}

/// The session with this number, which may be any.
///
/// # Errors
/// [`Refusal::NotFound`] for 0, which is no session's.
pub fn numbered(number: u32) -> Result<SessionId, Refusal> {
    SessionId::new(number).ok_or(not_found(number))
}

fn not_found(session: u32) -> Refusal {
    Refusal::NotFound {
        class: "multicastsession",
        id: session,
    }
}

/// Opens a session for tasks that deploy `image`, and returns its id. `clients` is what FOG shows
/// there: 0 for a group, -1 for a single host.
///
/// # Errors
/// When the rows cannot be drafted.
pub(super) fn open(
    draft: &mut Draft<'_>,
    name: &str,
    image: ImageId,
    clients: i64,
    terms: Terms,
    now: Timestamp,
) -> Result<SessionId, Refusal> {
    let tables = draft.tables();
    let row = tables
        .images()
        .get(image.get())
        .ok_or(TaskRefusal::NoImage)?;
    let group =
        crate::state::rules::image::storage_group(tables, row.id).map_or(0, |group| group.id);
    let session = MulticastSession {
        name: name.to_owned(),
        port: take_port(draft)?,
        logpath: row.path.clone(),
        image: image.get(),
        clients,
        interface: interface(tables, group),
        starttime: now.into(),
        is_dd: row.image_type.into(),
        storagegroup: group,
        ..MulticastSession::default()
    };
    draft.require_present::<Image>(image.get());
    let id = numbered(draft.insert(session)?)?;
    if terms != Terms::default() {
        let plan = SessionPlan {
            start: terms.start,
            max_rate: terms.max_rate,
            fixed: terms.fixed,
            ..SessionPlan::new(id)
        };
        draft.replace(&plan);
    }
    Ok(id)
}

/// Changes the terms of an active session.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::Ended`], or an error of the store.
pub async fn change(
    state: &State,
    session: SessionId,
    change: impl Fn(&mut Terms),
) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let row = tables.of::<MulticastSession>().get(session.get());
            let row = row.ok_or(not_found(session.get()))?;
            if !row.is_active() {
                return Err(Refusal::Ended {
                    class: "multicastsession",
                    id: session.get(),
                });
            }
            let plan = tables.session_plans().get(&session);
            let mut plan = plan.map_or_else(
                || SessionPlan::new(session),
                |plan| SessionPlan::clone(plan),
            );
            draft.unchanged(row);
            let mut terms = Terms {
                start: plan.start,
                max_rate: plan.max_rate,
                fixed: plan.fixed,
            };
            change(&mut terms);
            (plan.start, plan.max_rate) = (terms.start, terms.max_rate);
            draft.replace(&plan);
            Ok(())
        })
        .await
}

/// Adds a task to a session.
///
/// # Errors
/// When the row cannot be drafted.
pub(super) fn join(draft: &mut Draft<'_>, session: SessionId, task: TaskId) -> Result<(), Refusal> {
    // One that ends at the same time is not joined; whoever ends it takes its turn.
    if let Some(row) = draft.tables().of::<MulticastSession>().get(session.get()) {
        draft.unchanged(row);
    }
    draft
        .insert(MulticastSessionAssociation {
            id: 0,
            session: session.get(),
            task: task.get(),
        })
        .map(drop)
}

/// The session that a host asks to join by its name.
///
/// # Errors
/// When there is no active one, or it sends another image.
pub(super) fn named(tables: &Tables, name: &str, image: ImageId) -> Result<SessionId, Refusal> {
    let field = "sessionjoin";
    let active = tables
        .of::<MulticastSession>()
        .by(MulticastSession::ACTIVE, 0);
    let session = active
        .rev()
        .find(|session| session.name.eq_ignore_ascii_case(name.trim()));
    match session {
        None => Err(Refusal::Invalid {
            field,
            why: format!("there is no active multicast session {name:?}"),
        }),
        Some(session) if session.image != image.get() => Err(Refusal::Invalid {
            field,
            why: format!("multicast session {name:?} sends another image"),
        }),
        Some(session) => numbered(session.id),
    }
}

/// The port in the setting; the setting then gets another one, for the next session. Any port if
/// the setting is invalid.
fn take_port(draft: &mut Draft<'_>) -> Result<i64, Refusal> {
    let tables = draft.tables();
    let next = LOWEST_PORT + getrandom::u32().unwrap_or_default() % PORTS * 2;
    let Some(row) = tables.of::<Service>().named(STARTING_PORT) else {
        return Ok(next.into());
    };
    draft.update(
        row,
        &Service {
            value: next.to_string(),
            ..Service::clone(row)
        },
    )?;
    let set = row
        .value
        .trim()
        .parse::<u16>()
        .ok()
        .filter(|port| *port != 0);
    Ok(set.map_or(next.into(), i64::from))
}

/// The interface of the node that is likely to send. `group` is 0 for an image without a storage
/// group, as in the rows.
fn interface(tables: &Tables, group: u32) -> String {
    let nodes = || {
        tables
            .storage_nodes()
            .by(StorageNode::BY_GROUP, group.into())
            .filter(|node| node.serves())
    };
    let node = nodes()
        .find(|node| node.is_master.is_yes())
        .or_else(|| nodes().next());
    node.map(|node| node.interface.clone()).unwrap_or_default()
}

/// Cancels a session and the tasks that belong to it; one that has ended is left as it is.
///
/// # Errors
/// [`Refusal::NotFound`], or an error of the store.
pub async fn cancel(state: &State, session: SessionId) -> Result<(), Refusal> {
    let found = state.read(|tables| tables.of::<MulticastSession>().get(session.get()).is_some());
    if !found {
        return Err(not_found(session.get()));
    }
    for _ in 0..CANCELS {
        let tasks = state.read(|tables| {
            let row = tables.of::<MulticastSession>().get(session.get());
            let row = row.filter(|row| row.is_active());
            row.map_or_else(Vec::new, |_| tasks_of(tables, session))
        });
        tasks::cancel_each(state, &tasks).await?;
        if state
            .write(|draft| end_without_tasks(draft, session))
            .await?
        {
            return Ok(());
        }
    }
    Err(Refusal::Contended)
}

/// Ends a session, unless a task has joined it: then it says `false`.
fn end_without_tasks(draft: &mut Draft<'_>, session: SessionId) -> Result<bool, Refusal> {
    let tables = draft.tables();
    let row = tables.of::<MulticastSession>().get(session.get());
    let Some(row) = row.filter(|row| row.is_active()) else {
        return Ok(true);
    };
    let mut tasks = tasks_of(tables, session).into_iter();
    let is_active = |task| {
        tables
            .tasks()
            .get(task)
            .is_some_and(|task| task.is_active())
    };
    if tasks.any(is_active) {
        return Ok(false);
    }
    end(
        draft,
        row,
        &ended(tables, row, state::CANCELLED, Timestamp::now()),
    )?;
    Ok(true)
}

/// Cancels the active sessions that `chosen` selects.
///
/// # Errors
/// When the store fails.
pub async fn cancel_active(
    state: &State,
    chosen: impl Fn(&Row<MulticastSession>) -> bool,
) -> Result<(), Refusal> {
    let pick = |tables: &Tables| -> Vec<SessionId> {
        let active = tables
            .of::<MulticastSession>()
            .by(MulticastSession::ACTIVE, 0);
        active
            .filter(|session| chosen(session))
            .filter_map(|session| session.key())
            .collect()
    };
    for session in state.read(pick) {
        match cancel(state, session).await {
            Ok(()) | Err(Refusal::NotFound { .. }) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(())
}

/// Which sessions [`settle`] closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settle {
    /// Those of which a task has completed.
    Completed,
    /// Those without a task that still runs.
    All,
}

/// Updates sessions to the state of their tasks. Called whenever tasks have changed, so a missed
/// call does no harm.
///
/// # Errors
/// When the store fails.
pub async fn settle(state: &State, which: Settle) -> Result<(), Refusal> {
    let moved: Vec<SessionId> = state.read(|tables| {
        let active = tables
            .of::<MulticastSession>()
            .by(MulticastSession::ACTIVE, 0);
        active
            .filter(|row| settled(tables, row, which, Timestamp::now()).is_some())
            .filter_map(|row| row.key())
            .collect()
    });
    for session in moved {
        foghorn_faults::wait!("controller.multicast.before-settle");
        state
            .write::<_, Refusal>(|draft| {
                let tables = draft.tables();
                let Some(row) = tables.of::<MulticastSession>().get(session.get()) else {
                    return Ok(());
                };
                match settled(tables, row, which, Timestamp::now()) {
                    Some(settled) if settled.is_active() => draft.update(row, &settled),
                    Some(settled) => end(draft, row, &settled),
                    None => Ok(()),
                }
            })
            .await?;
    }
    multicast::sweep(state).await
}

fn tasks_of(tables: &Tables, session: SessionId) -> Vec<u32> {
    let members = tables.of::<MulticastSessionAssociation>();
    members
        .by(
            MulticastSessionAssociation::BY_SESSION,
            session.get().into(),
        )
        .map(|member| member.task)
        .collect()
}

/// The session in the state that follows from its tasks; `None` when it is already in this state,
/// or has no tasks because a client created it.
fn settled(
    tables: &Tables,
    row: &Row<MulticastSession>,
    which: Settle,
    now: Timestamp,
) -> Option<MulticastSession> {
    let members = tasks_of(tables, row.key()?);
    if members.is_empty() || !row.is_active() {
        return None;
    }
    let tasks: Vec<&Row<Task>> = members
        .iter()
        .filter_map(|id| tables.tasks().get(*id))
        .map(AsRef::as_ref)
        .collect();
    if tasks.iter().any(|task| task.is_active()) {
        let begun = tasks.iter().any(|task| task.state == state::IN_PROGRESS)
            && row.state != state::IN_PROGRESS;
        return begun.then(|| MulticastSession {
            state: state::IN_PROGRESS,
            ..MulticastSession::clone(row)
        });
    }
    let complete = tasks.iter().any(|task| task.state == state::COMPLETE);
    match (complete, which) {
        (true, _) => Some(ended(tables, row, state::COMPLETE, now)),
        (false, Settle::All) => Some(ended(tables, row, state::CANCELLED, now)),
        (false, Settle::Completed) => None,
    }
}
