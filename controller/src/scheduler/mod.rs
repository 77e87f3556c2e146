//! Fires schedules, sends wake-ups, and keeps multicast sessions where their tasks are.
//!
//! Every controller does all of it: what a round does it does under compares (`fire`), so there is no leader to lose.
//! Deciding is pure ([`crate::app::due`]); time is an argument.

mod fire;
mod send;

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use self::fire::Parts;
use crate::app::due::Agenda;
use crate::app::sessions::{self, Settle};
use crate::ctx::Ctx;

/// Schedules have minutes; nobody waits longer than this for one.
const TICK: Duration = Duration::from_secs(1);

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let mut scheduler = Scheduler::default();
    let mut tables = ctx.state.changed();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let ticked = tokio::select! {
            () = cancel.cancelled() => return,
            _ = tick.tick() => true,
            Ok(()) = tables.changed() => false,
        };
        tables.mark_unchanged();
        let work = async {
            if ticked {
                scheduler.round(&ctx, Timestamp::now()).await;
            }
            // Whoever wakes a host stands before it.
            if let Err(error) = send::round(&ctx.state, &ctx.links, Timestamp::now()).await {
                warn!(error = &error as &dyn std::error::Error, "could not see to all wake-ups");
            }
        };
        if cancel.run_until_cancelled(work.instrument(info_span!("schedule_round"))).await.is_none() {
            return;
        }
    }
}

/// What a controller remembers between two rounds.
#[derive(Default)]
pub struct Scheduler {
    agenda: Agenda,
    rounds: u64,
}

impl Scheduler {
    /// Fires everything that is due at `now`.
    pub async fn round(&mut self, ctx: &Ctx, now: Timestamp) {
        self.rounds += 1;
        let due = ctx.state.read(|tables| self.agenda.due(tables, now, self.rounds));
        let parts = Parts { state: &ctx.state, glance: &*ctx.live, deadline: ctx.settings.task_deadline };
        for due in due {
            if let Err(error) = fire::fire(&parts, due, now).await {
                warn!(schedule = ?due.owner, error = &error as &dyn std::error::Error, "could not fire, will try again");
            }
        }
        if let Err(error) = sessions::settle(&ctx.state, Settle::Completed).await {
            warn!(error = &error as &dyn std::error::Error, "could not move multicast sessions");
        }
    }
}
