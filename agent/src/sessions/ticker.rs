//! The sessions' clock: progress once a second, deadlines, forgetting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use foghorn_types::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Sessions;
use super::outcome::SessionOutcome;
use super::table::Stop;
use crate::multicast::{MulticastTerms, SessionLimit};

/// Runs until cancelled.
pub(crate) async fn run(sessions: Arc<Sessions>, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(sessions.timing.progress_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        sessions.tick(Instant::now(), Timestamp::now());
    }
}

impl Sessions {
    fn tick(&self, now: Instant, wall: Timestamp) {
        let running = self.table().running();
        let mut progress = BTreeMap::new();
        for (task, meter) in running {
            let moved = meter.tick(task, now, self.timing.progress_every);
            progress.insert(task, meter.last());
            if let Some(moved) = moved {
                self.outbox.progress(task, moved);
            }
        }
        let ordered: Vec<MulticastTerms> = self
            .table()
            .open_orders()
            .filter_map(|order| order.multicast.clone())
            .collect();
        let mut limits: Vec<SessionLimit> = self
            .table()
            .open_orders()
            .filter_map(|order| order.limit)
            .collect();
        limits.sort_unstable_by_key(|limit| limit.session);
        limits.dedup_by_key(|limit| limit.session);
        for report in self.multicasts.tick(&ordered, &limits, &progress) {
            self.outbox.multicast(report);
        }
        let late = self.table().late(wall);
        for task in late {
            let reason = "the deadline of the task has passed".to_owned();
            let outcome = SessionOutcome::Failed {
                reason: reason.clone(),
                node_at_fault: false,
            };
            self.end(task, outcome, Some(Stop::Failed { reason }));
        }
        self.table().forget(wall - self.timing.outcome_kept);
    }
}
