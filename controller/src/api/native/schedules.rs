//! Schedules as they are kept, and what a host's client is to do with the machine's power.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::native::{
    PowerAction, PowerActions, ScheduleList, ScheduleStatus, ScheduleTarget,
};
use foghorn_types::{HostId, Role, Timestamp};

use super::error::Refused;
use super::input::Id;
use crate::api::routes::{Routes, get};
use crate::app::power;
use crate::ctx::Ctx;
use crate::state::classes::scheduled_task::Target;
use crate::state::classes::{Group, ScheduledTask};
use crate::state::schedule::Owner;
use crate::state::{Row, Tables};

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add(
            get("/foghorn/v1/schedules", list)
                .needs(Role::ReadOnly)
                .named("tasks", "schedules",
                    "List scheduled tasks with their next start and last result")
                .gives::<ScheduleList>(200, "In the order of their names."),
        )
        // The answer counts as delivered, so this is more than a read.
        .add(
            get("/foghorn/v1/hosts/{id}/power", power)
                .needs(Role::Operator)
                .named("hosts", "power", "Fetch the power actions of a host")
                .about("Each action is delivered only once, so only the host's client should use this.")
                .path::<HostId>("id", "Id of the host.")
                .gives::<PowerActions>(200, "What is to be done.")
                .refuses(&[404, 500, 503]),
        )
}

/// Every scheduled task: when it comes next and how it went last.
async fn list(State(ctx): State<Arc<Ctx>>) -> Json<ScheduleList> {
    let now = Timestamp::now();
    let schedules = ctx.state.read(|tables| {
        tables
            .of::<ScheduledTask>()
            .ordered()
            .map(|row| view(tables, row, now))
            .collect()
    });
    Json(ScheduleList { schedules })
}

fn view(tables: &Tables, row: &Row<ScheduledTask>, now: Timestamp) -> ScheduleStatus {
    let mark = tables.marks().get(&Owner::Task(row.id));
    let (target, name) = match row.target() {
        Target::Host(id) => (
            ScheduleTarget::Host { id },
            tables
                .hosts()
                .get(id)
                .map(|host| host.name.clone())
                .unwrap_or_default(),
        ),
        Target::Group(id) => {
            let group = tables.of::<Group>().get(id);
            (
                ScheduleTarget::Group { id },
                group.map(|group| group.name.clone()).unwrap_or_default(),
            )
        }
    };
    let last = mark.and_then(|mark| mark.last.as_ref());
    let next = row
        .next(tables, now)
        .filter(|next| row.is_active() && (row.by_calendar() || *next > now));
    ScheduleStatus {
        id: row.id,
        name: row.name.clone(),
        task_type: row.task_type,
        target,
        target_name: name,
        active: row.is_active(),
        next: next.map(|next| next.to_string()),
        last: last.map(|last| last.due.to_string()),
        outcome: mark.map(|mark| mark.outcome.clone()).unwrap_or_default(),
    }
}

/// What the host's client is to do now; each thing is told once.
async fn power(
    State(ctx): State<Arc<Ctx>>,
    Id(host): Id<HostId>,
) -> Result<Json<PowerActions>, Refused> {
    let actions = power::take(&ctx.state, host, Timestamp::now()).await?;
    let view = |action: power::Action| PowerAction {
        rule: action.rule,
        action: action.action,
        due: action.due.to_string(),
    };
    Ok(Json(PowerActions {
        actions: actions.into_iter().map(view).collect(),
    }))
}
