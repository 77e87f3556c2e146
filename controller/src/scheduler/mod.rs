//! Runs schedules, sends wake-ups, and updates multicast sessions to the state of their tasks.
//!
//! Every controller does all of this: each round works with compares (`fire`), so there is no
//! leader that could fail. Deciding is pure (`crate::app::due`); time is an argument.

mod fire;
mod send;

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::fire::Parts;
use crate::agents::health::Health;
use crate::app::due::Agenda;
use crate::app::sessions::{self, Settle};
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;

/// Period of the rounds; schedules have a resolution of one minute.
const TICK: Duration = Duration::from_secs(1);

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "schedules",
        period: TICK,
        wakes: vec![("tables", ctx.state.changed())],
    };
    let background = ctx.background.clone();
    background
        .drive(
            rhythm,
            Rounds {
                ctx,
                scheduler: Scheduler::default(),
            },
            cancel,
        )
        .await;
}

struct Rounds {
    ctx: Arc<Ctx>,
    scheduler: Scheduler,
}

impl Work for Rounds {
    async fn round(&mut self, why: Why, report: &mut Report) {
        if why == Why::Period {
            self.scheduler
                .round(&self.ctx, Timestamp::now(), report)
                .await;
        }
        // A user who wakes a host is waiting for it.
        if let Err(error) =
            send::round(&self.ctx.state, &self.ctx.links, Timestamp::now(), report).await
        {
            warn!(error = %chain(&error), "could not process all wake-ups");
            report.failed("could not process all wake-ups", &error);
        }
    }
}

/// State of a controller between two rounds.
#[derive(Default)]
pub struct Scheduler {
    agenda: Agenda,
    rounds: u64,
}

impl Scheduler {
    /// Runs everything that is due at `now`.
    pub async fn round(&mut self, ctx: &Ctx, now: Timestamp, report: &mut Report) {
        self.rounds += 1;
        let due = ctx
            .state
            .read(|tables| self.agenda.due(tables, now, self.rounds));
        let parts = Parts {
            state: &ctx.state,
            glance: &*ctx.live,
            health: Arc::new(Health::now(&ctx.live)),
            deadline: ctx.settings.task_deadline,
        };
        for due in due {
            match fire::fire(&parts, due, now).await {
                Ok(()) => report.did("schedules fired", 1),
                Err(error) => {
                    warn!(
                        schedule = ?due.owner,
                        error = %chain(&error),
                        "could not run a schedule, trying again"
                    );
                    report.failed("could not fire a schedule", &error);
                }
            }
        }
        if let Err(error) = sessions::settle(&ctx.state, Settle::Completed).await {
            warn!(error = %chain(&error), "could not update multicast sessions");
            report.failed("could not update multicast sessions", &error);
        }
    }
}
