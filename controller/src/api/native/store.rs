//! The state store: where it is, how much room it has, whether it takes changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::condition::Condition;
use foghorn_rest_types::store::{EtcdMember, StoreCondition};
use foghorn_types::{Role, Timestamp};

use crate::api::routes::{Routes, get};
use crate::app::condition;
use crate::ctx::Ctx;
use crate::store::MemberCondition;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    let condition = get("/foghorn/v1/condition", troubles)
        .needs(Role::ReadOnly)
        .named("health", "condition", "Show what hinders the installation")
        .about(
            "Plugins that are not called, tasks that failed, files without all their copies, and \
             where agents connect to the controller that answers.",
        )
        .gives::<Condition>(200, "The condition.");
    Routes::new().add(condition).add(
        get("/foghorn/v1/store", show)
            .needs(Role::ReadOnly)
            .named("health", "store", "Show the condition of the state store")
            .about(
                "Of the controller that answers. Writes to the store, at most every few seconds.",
            )
            .gives::<StoreCondition>(200, "The condition; also when the store does not work."),
    )
}

async fn troubles(State(ctx): State<Arc<Ctx>>) -> Json<Condition> {
    Json(condition::of(&ctx, Timestamp::now()))
}

async fn show(State(ctx): State<Arc<Ctx>>) -> Json<StoreCondition> {
    let (written, condition) =
        tokio::join!(ctx.state.probe().check(), ctx.state.store().condition());
    Json(StoreCondition {
        engine: condition.engine.to_owned(),
        place: condition.place,
        free_bytes: condition.free,
        total_bytes: condition.total,
        used_bytes: condition.used,
        writable: written.is_ok(),
        alarm: condition.alarm.map(str::to_owned),
        stale_seconds: ctx.state.stale_for().map(|stale| stale.as_secs()),
        members: condition.members.into_iter().map(member).collect(),
        problem: condition
            .problem
            .or_else(|| written.err().map(|why| why.to_string())),
    })
}

fn member(member: MemberCondition) -> EtcdMember {
    EtcdMember {
        endpoint: member.endpoint,
        leads: member.leads,
        version: member.version,
        problem: member.problem,
    }
}
