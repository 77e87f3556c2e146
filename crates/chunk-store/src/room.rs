//! Room on a full disk: what failed and replaced captures left behind goes before a put is refused.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foghorn_types::chain;
use tracing::{info, warn};

use crate::put::PutError;
use crate::store::Store;

/// After a sweep that freed nothing, none is made for this long, unless a capture ends.
const USELESS_FOR: Duration = Duration::from_secs(10);

/// The sweeps that were made because the disk was full.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    /// Sweeps that have freed something.
    sweeps: u64,
    /// When one freed nothing, and how many captures had ended by then.
    useless: Option<(Instant, u64)>,
}

impl Store {
    /// Runs `put`. If the disk is full, what nothing needs is removed without any grace, and `put`
    /// is run once more. The caller holds no lock of the store.
    pub(crate) fn with_room<T>(
        &self,
        put: impl Fn() -> Result<T, PutError>,
    ) -> Result<T, PutError> {
        let seen = self.made().sweeps;
        match put() {
            Err(full) if full.is_full() && self.make_room(seen) => put(),
            done => done,
        }
    }

    /// Whether there is more room than when `seen` sweeps had been made.
    fn make_room(&self, seen: u64) -> bool {
        let mut made = self.made();
        if made.sweeps != seen {
            return true; // Somebody else has swept for us.
        }
        let ended = self.guards.ended_captures();
        if made
            .useless
            .is_some_and(|(when, then)| then == ended && when.elapsed() < USELESS_FOR)
        {
            return false;
        }
        match self.sweep(Duration::ZERO) {
            Ok(report) if report.freed.bytes() > 0 => {
                info!(freed = %report.freed, "the disk was full; removed what no image needs");
                made.sweeps += 1;
                made.useless = None;
                return true;
            }
            Ok(_) => info!("the disk is full, and images need all that is on it"),
            Err(error) => warn!(error = %chain(&error), "the disk is full and the sweep failed"),
        }
        made.useless = Some((Instant::now(), ended));
        false
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.room.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
