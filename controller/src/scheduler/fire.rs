//! Runs what is due: the tasks and the mark of the schedule are stored in one transaction, so that
//! each run happens once however many controllers try, also after a restart of all of them.

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{GroupId, HostId, Timestamp};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::agents::health::Health;
use crate::app::due::{self, Due};
use crate::app::tasks::{self, Brought, Chosen, For, HOSTS_AT_ONCE, Origin, Pending, Request};
use crate::app::{history, wake};
use crate::state::class::Body;
use crate::state::classes::scheduled_task::Target;
use crate::state::classes::{PowerManagement, ScheduledTask};
use crate::state::scene::Glance;
use crate::state::schedule::{Firing, Mark, Owner};
use crate::state::{Draft, Refusal, Row, State, zone};

/// The context of a run.
pub(crate) struct Parts<'a> {
    pub(crate) state: &'a State,
    pub(crate) glance: &'a dyn Glance,
    /// What is damaged on storage nodes.
    pub(crate) health: Arc<Health>,
    /// Time within which an imaging task must end.
    pub(crate) deadline: Duration,
}

/// What one transaction of a run has done.
enum Step {
    /// Another controller has handled it, or it was edited or deleted.
    Overtaken,
    /// The group has more hosts.
    More,
    Done {
        tasks: u32,
    },
}

/// Runs a schedule, or records that it is too late for it.
///
/// # Errors
/// When the store cannot be written; the schedule is then still due.
pub(crate) async fn fire(parts: &Parts<'_>, due: Due, now: Timestamp) -> Result<(), Refusal> {
    if due.missed {
        return give_up(
            parts,
            due,
            now,
            "missed: no controller was running at that time",
        )
        .await;
    }
    let fired = match due.owner {
        Owner::Task(id) => fire_task(parts, id, due, now).await,
        Owner::Power(id) => fire_rule(parts.state, id, due, now).await,
    };
    match fired {
        Ok(()) => Ok(()),
        Err(refusal) if refusal.may_succeed_later() => Err(refusal),
        // What a host or an image does not allow now, it will not allow a second later.
        Err(refusal) => give_up(parts, due, now, &format!("refused: {refusal}")).await,
    }
}

async fn fire_task(parts: &Parts<'_>, id: u32, due: Due, now: Timestamp) -> Result<(), Refusal> {
    loop {
        let mut pending = Pending::default();
        let step = parts.state.write_in_steps::<_, Refusal>(|draft| {
            let mut step = Step::More;
            if !draft.continues() {
                pending = Pending::default();
                step = task_step(draft, parts, id, due, now, &mut pending)?;
            }
            pending.settle(draft, now)?;
            Ok(step)
        });
        match step.await? {
            Step::More => {}
            Step::Overtaken => return Ok(()),
            Step::Done { tasks } => {
                info!(scheduledtask = id, due = %due.at, tasks, "created a scheduled task");
                return Ok(());
            }
        }
    }
}

fn task_step(
    draft: &mut Draft<'_>,
    parts: &Parts<'_>,
    id: u32,
    due: Due,
    now: Timestamp,
    pending: &mut Pending,
) -> Result<Step, Refusal> {
    let tables = draft.tables();
    let Some(row) = tables.of::<ScheduledTask>().get(id) else {
        return Ok(Step::Overtaken);
    };
    let mark = due::mark(tables, Owner::Task(id));
    if due::task_due(row, &mark, now, &zone::of_task(tables, row))
        .is_none_or(|still| still.at != due.at)
    {
        return Ok(Step::Overtaken);
    }
    let request = request(row)?;
    let mut origin = origin(row, parts, now);
    if matches!(row.target(), Target::Group(_)) {
        origin.order = order_of(id, due.at);
    }
    let mut firing = mark.firing.clone().unwrap_or_else(|| Firing::begin(due.at));
    let more = match row.target() {
        Target::Host(host) => {
            let host_row = tables.hosts().get(host).ok_or(Refusal::NotFound {
                class: "host",
                id: host,
            })?;
            let created =
                tasks::create_on_host(draft, host_row, &request, &origin, parts.glance, pending)?;
            firing.tasks += u32::from(created.is_some());
            false
        }
        Target::Group(group) => {
            let group = GroupId::new(group).ok_or(Refusal::NotFound {
                class: "group",
                id: group,
            })?;
            group_step(draft, group, &request, &origin, &mut firing, pending)?
        }
    };
    let tasks = firing.tasks;
    if more {
        draft.unchanged(row);
        draft.replace(&Mark {
            firing: Some(firing),
            ..mark
        });
        return Ok(Step::More);
    }
    let mut outcome = format!("tasks created: {tasks}");
    if !firing.left_out.is_empty() {
        outcome = format!("{outcome}; {}", firing.left_out);
    }
    draft.replace(&Mark {
        through: due.at,
        firing: None,
        last: Some(firing),
        outcome,
        ..mark
    });
    retire(draft, row)?;
    Ok(Step::Done { tasks })
}

/// Creates tasks for the next hosts of the group as it is now; returns whether there are more.
fn group_step(
    draft: &mut Draft<'_>,
    group: GroupId,
    request: &Request,
    origin: &Origin,
    firing: &mut Firing,
    pending: &mut Pending,
) -> Result<bool, Refusal> {
    let begun = firing.after_host > 0;
    let Chosen {
        mut hosts,
        left_out,
    } = match tasks::free_hosts(draft.tables(), &origin.health, group, request) {
        Ok(chosen) => chosen,
        // The remaining hosts have got other tasks in the meantime.
        Err(Refusal::Task(_)) if begun => return Ok(false),
        Err(refusal) => return Err(refusal),
    };
    if !begun {
        tasks::wake_group(draft, group, request, origin);
        firing.left_out = tasks::sentence(&left_out).unwrap_or_default();
    }
    hosts.retain(|host| host.get() > firing.after_host);
    hosts.sort_unstable();
    let part: Vec<HostId> = hosts.iter().copied().take(HOSTS_AT_ONCE).collect();
    let brought = Brought {
        pending,
        sessions: &mut firing.sessions,
    };
    let (created, _) =
        tasks::create_part(draft, For::Group(group), &part, request, origin, brought)?;
    firing.tasks += u32::try_from(created.len()).unwrap_or(u32::MAX);
    firing.after_host = part.last().map_or(firing.after_host, |host| host.get());
    Ok(hosts.len() > part.len())
}

/// A one-time schedule is disabled by its run; a calendar continues.
fn retire(draft: &mut Draft<'_>, row: &Row<ScheduledTask>) -> Result<(), Refusal> {
    if row.by_calendar() {
        draft.unchanged(row);
        return Ok(());
    }
    draft.update(
        row,
        &ScheduledTask {
            is_active: "0".to_owned(),
            ..ScheduledTask::clone(row)
        },
    )
}

/// The row as the request that it stands for.
fn request(row: &ScheduledTask) -> Result<Request, Refusal> {
    let mut body = Body::new();
    for (name, value) in [
        ("taskTypeID", json!(row.task_type)),
        ("taskName", json!(row.name)),
        ("shutdown", json!(row.shutdown == "1")),
        ("wol", json!(row.other4 == "1")),
        ("passreset", json!(row.other1)),
        ("deploySnapins", json!(row.other2)),
    ] {
        let empty = matches!(&value, Value::String(text) if text.is_empty());
        if !empty {
            body.insert(name.to_owned(), value);
        }
    }
    Request::read(&body)
}

fn origin(row: &ScheduledTask, parts: &Parts<'_>, now: Timestamp) -> Origin {
    let by = if row.other3.is_empty() {
        "fog".to_owned()
    } else {
        row.other3.clone()
    };
    Origin {
        by,
        traceparent: None,
        deadline: parts.deadline,
        now,
        health: parts.health.clone(),
        ticket: None,
        order: 0,
    }
}

/// The same in every step of one firing, whichever controllers make them.
fn order_of(id: u32, due: Timestamp) -> u64 {
    let hash = blake3::hash(format!("schedule {id} {}", due.as_millis()).as_bytes());
    let (first, _) = hash.as_bytes().split_at(8);
    first
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Wakes a host; an immediate one-time rule is deleted with that.
async fn fire_rule(state: &State, id: u32, due: Due, now: Timestamp) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let Some(row) = tables.of::<PowerManagement>().get(id) else {
                return Ok(());
            };
            let mark = due::mark(tables, Owner::Power(id));
            if due::rule_due(row, &mark, now, &zone::of_rule(tables, row))
                .is_none_or(|still| still.at != due.at)
            {
                return Ok(());
            }
            wake::order(
                draft,
                HostId::new(row.host).into_iter().collect(),
                "power management",
                now,
            );
            if row.on_demand.is_yes() {
                draft.discard(&mark);
                draft.delete(row);
            } else {
                draft.unchanged(row);
                draft.replace(&Mark {
                    through: due.at,
                    outcome: "woken".to_owned(),
                    ..mark
                });
            }
            Ok(())
        })
        .await
}

/// Records that a run was not possible, and why. A calendar continues; a one-time schedule stays as
/// it is, so that users see it, and is not tried again unless it is edited.
async fn give_up(parts: &Parts<'_>, due: Due, now: Timestamp, why: &str) -> Result<(), Refusal> {
    let given_up = parts.state.write::<_, Refusal>(|draft| {
        let tables = draft.tables();
        let mark = due::mark(tables, due.owner);
        let still = match due.owner {
            Owner::Task(id) => {
                let row = tables.of::<ScheduledTask>().get(id);
                // A mark is not left behind by a row that goes.
                row.iter().for_each(|row| draft.unchanged(row));
                row.and_then(|row| due::task_due(row, &mark, now, &zone::of_task(tables, row)))
            }
            Owner::Power(id) => {
                let row = tables.of::<PowerManagement>().get(id);
                row.iter().for_each(|row| draft.unchanged(row));
                row.and_then(|row| due::rule_due(row, &mark, now, &zone::of_rule(tables, row)))
            }
        };
        if still.is_none_or(|still| still.at != due.at) {
            return Ok(false);
        }
        let last = Some(Firing::begin(due.at));
        draft.replace(&Mark {
            through: due.at,
            firing: None,
            last,
            outcome: why.to_owned(),
            ..mark
        });
        history::not_fired(draft, due.owner, why, now)?;
        Ok(true)
    });
    if given_up.await? {
        warn!(schedule = ?due.owner, due = %due.at, why, "a schedule did not run");
    }
    Ok(())
}
