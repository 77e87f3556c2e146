//! Periodic clean-up: records and history that are no longer needed, jobs without reports;
//! [`removals`]; [`backups`]; and credentials that are [`given`].

mod age;
pub(crate) mod backups;
mod forget;
pub(crate) mod given;
mod history;
pub(crate) mod removals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_types::{Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::age::{AgeGate, Moment, Verdict};
use self::history::{History, Keep};
use crate::app::sessions::{self, Settle};
use crate::app::versions;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::recorder;
use crate::state::Refusal;
use crate::state::clock::Clock;

const PERIOD: Duration = Duration::from_secs(60);
/// How often the time is noted as seen.
const SEEN_PERIOD: Duration = Duration::from_secs(60 * 60);
/// Old rows of FOG's logs are found by reading all of them.
const LOGS_PERIOD: Duration = Duration::from_secs(60 * 60);
/// Agents send a report on a job every few seconds.
const JOB_PATIENCE: Duration = Duration::from_secs(120);

/// Cleans up once a minute until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, audit_keep: Duration, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "upkeep",
        period: PERIOD,
        wakes: Vec::new(),
    };
    let background = ctx.background.clone();
    let upkeep = Upkeep {
        ctx,
        audit_keep,
        history: History::new(Keep::default()),
        logs_seen: None,
        age: AgeGate::default(),
    };
    background.drive(rhythm, upkeep, cancel).await;
}

struct Upkeep {
    ctx: Arc<Ctx>,
    audit_keep: Duration,
    history: History,
    logs_seen: Option<Instant>,
    age: AgeGate,
}

/// Now, by the clock that a simulation moves.
fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Work for Upkeep {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let (ctx, now) = (self.ctx.clone(), Timestamp::now());
        ctx.jobs.give_up(now, JOB_PATIENCE);
        recorder::handle().run_upkeep();
        note(
            report,
            "close multicast sessions",
            sessions::settle(&ctx.state, Settle::All).await,
        );
        let last = ctx.state.read_at(|_, revision| revision);
        note(
            report,
            "forget old history",
            self.history
                .tidy(&**ctx.state.store(), instant(), last)
                .await,
        );
        if self.may_delete(now, report).await {
            self.delete_old(&ctx, now, report).await;
        }
    }
}

impl Upkeep {
    /// Whether the clock is good enough to tell what is old.
    async fn may_delete(&mut self, now: Timestamp, report: &mut Report) -> bool {
        let seen = self.ctx.state.read(|tables| tables.time_seen().cloned());
        let moment = Moment {
            time: now,
            instant: instant(),
        };
        match self.age.judge(moment, seen.as_ref().map(|seen| seen.seen)) {
            Verdict::Paused { new } => {
                if let Some(why) = new {
                    warn!("{why}");
                }
                report.did("rounds without deletion because of the clock", 1);
                return false;
            }
            Verdict::Go => {}
        }
        if seen.is_none_or(|seen| now.since(seen.seen) > SEEN_PERIOD) {
            let written = self.ctx.state.write::<_, Refusal>(|draft| {
                let known = draft.tables().time_seen().cloned();
                // Another controller may be ahead.
                if known.as_ref().is_none_or(|known| known.seen < now) {
                    draft.replace(&Clock {
                        seen: now,
                        modified: known.map_or(0, |known| known.modified),
                    });
                }
                Ok(())
            });
            note(report, "note the time", written.await);
        }
        true
    }

    async fn delete_old(&mut self, ctx: &Ctx, now: Timestamp, report: &mut Report) {
        removed(
            report,
            "used and expired tokens",
            forget::tokens(&ctx.state, now).await,
        );
        removed(
            report,
            "expired join tokens for many nodes",
            forget::join_tokens(&ctx.state, now).await,
        );
        removed(
            report,
            "expired machine tokens",
            forget::host_tokens(&ctx.state, now).await,
        );
        removed(
            report,
            "expired factory tokens",
            forget::factory_tokens(&ctx.state, now).await,
        );
        removed(
            report,
            "old idempotency keys",
            forget::keys(&ctx.state, now).await,
        );
        removed(
            report,
            "runs of deleted tasks",
            forget::runs(&ctx.state, now).await,
        );
        removed(
            report,
            "old versions of images",
            versions::retire_old(&ctx.state, ctx.settings.versions, now).await,
        );
        let oldest = now - self.audit_keep;
        removed(
            report,
            "old entries of the audit log",
            forget::audit(&**ctx.state.store(), oldest).await,
        );
        if self
            .logs_seen
            .is_none_or(|seen| seen.elapsed() >= LOGS_PERIOD)
        {
            self.logs_seen = Some(Instant::now());
            removed(
                report,
                "old rows of logs",
                forget::logs(&ctx.state, oldest).await,
            );
        }
    }
}

fn removed<E: std::error::Error + 'static>(
    report: &mut Report,
    what: &str,
    done: Result<usize, E>,
) {
    let done = done.map(|number| report.did(&format!("{what} removed"), number as u64));
    note(report, &format!("remove {what}"), done);
}

/// What one part of a round could not do does not keep the others from theirs.
fn note<E: std::error::Error + 'static>(report: &mut Report, what: &str, done: Result<(), E>) {
    if let Err(error) = done {
        warn!(error = %chain(&error), "could not {what}");
        report.failed(&format!("could not {what}"), &error);
    }
}
