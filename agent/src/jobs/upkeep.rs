//! Sweeping: chunks that no image needs any more go, some time after they became useless.

use std::sync::Arc;

use foghorn_chunk_store::Store;
use foghorn_types::chain;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Upkeep;

/// Sweeps now and then until cancelled. A sweep that has begun is waited for: it is safe to cut
/// short, but then its work is to be done again.
pub(crate) async fn run(
    store: Arc<Store>,
    upkeep: Upkeep,
    store_changed: Arc<Notify>,
    cancel: CancellationToken,
) {
    // Not at once: a node that restarts has clients to serve first.
    let mut ticks =
        tokio::time::interval_at(Instant::now() + upkeep.sweep_every, upkeep.sweep_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let (store, grace) = (store.clone(), upkeep.grace);
        match tokio::task::spawn_blocking(move || store.sweep(grace)).await {
            Ok(Ok(report)) if report.removed_chunks > 0 => {
                info!(
                    chunks = report.removed_chunks,
                    freed = %report.freed,
                    "swept chunks that no image needs"
                );
                store_changed.notify_one();
            }
            Ok(Ok(_)) => {}
            Ok(Err(problem)) => {
                warn!(error = %chain(&problem), "the sweep failed; the next one tries again")
            }
            Err(problem) => {
                warn!(
                    error = %chain(&problem),
                    "the sweep was interrupted; the next one tries again"
                )
            }
        }
    }
}
