//! The work that this controller does by itself, and how each last went.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foghorn_rest_types::background::{BackgroundList, BackgroundRound, BackgroundWork};
use foghorn_types::Role;

use crate::api::routes::{Routes, get};
use crate::background::{Round, Status, Why};
use crate::ctx::Ctx;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    Routes::new().add(
        get("/foghorn/v1/background", list)
            .needs(Role::ReadOnly)
            .named(
                "background",
                "background",
                "List the work that the controller does by itself",
            )
            .about("Of the controller that answers. A round that failed is repeated by itself.")
            .gives::<BackgroundList>(200, "In the order of their names."),
    )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<BackgroundList> {
    let status = ctx.background.status();
    Json(BackgroundList {
        work: status
            .into_iter()
            .map(|(name, status)| work(name, status))
            .collect(),
    })
}

fn work(name: &str, status: Status) -> BackgroundWork {
    BackgroundWork {
        name: name.to_owned(),
        period_seconds: status.period.as_secs_f64(),
        woken_by: status.wakes.into_iter().map(str::to_owned).collect(),
        running_since: status.running_since.map(|time| time.to_string()),
        rounds: status.rounds,
        failures: status.failures,
        last: status.last.map(round),
        last_failure: status.last_failure.map(round),
    }
}

fn round(round: Round) -> BackgroundRound {
    let reason = match round.why {
        Why::Period => "period",
        Why::Change(what) => what,
    };
    BackgroundRound {
        began: round.began.to_string(),
        seconds: round.took.as_secs_f64(),
        reason: reason.to_owned(),
        did: round.did,
        error: round.error,
    }
}
