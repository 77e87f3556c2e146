//! Health of a plugin: its last error, and whether it is still called.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foghorn_types::Timestamp;
use tracing::{info, warn};

/// A plugin that fails this often in a row is not called again until its file changes.
pub(super) const MOST_FAILURES: u32 = 5;
/// Minimum time between two log lines about one plugin.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// The last error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub what: String,
    pub at: Timestamp,
}

fn count(plugin: &str, event: &'static str, failures: u64) {
    metrics::counter!(
        "foghorn_plugin_failures_total",
        "plugin" => plugin.to_owned(),
        "event" => event
    )
    .increment(failures);
}

#[derive(Default)]
struct FileHealth {
    in_a_row: u32,
    total: u64,
    last: Option<Failure>,
    logged: Option<Instant>,
}

/// Health of one version of a plugin's file.
#[derive(Default)]
pub(super) struct Health {
    record: Mutex<FileHealth>,
}

impl Health {
    /// Of a plugin that was just read. It has not failed yet at what it is called for.
    pub(super) fn begin(plugin: &str, events: impl Iterator<Item = &'static str>) -> Self {
        events.for_each(|event| count(plugin, event, 0));
        Self::default()
    }

    pub(super) fn failed(&self, plugin: &str, event: &'static str, what: &str) {
        count(plugin, event, 1);
        let what: String = format!("{event}: {what}").chars().take(500).collect();
        let (loud, suspended) = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.in_a_row += 1;
            record.total += 1;
            record.last = Some(Failure {
                what: what.clone(),
                at: Timestamp::now(),
            });
            let loud = record.logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
            if loud {
                record.logged = Some(Instant::now());
            }
            (loud, record.in_a_row == MOST_FAILURES)
        };
        if loud {
            warn!(
                plugin,
                what, "a plugin failed; the answer was sent without it"
            );
        }
        if suspended {
            info!(
                plugin,
                "a plugin failed too often and is not called again until its file changes"
            );
        }
    }

    pub(super) fn succeeded(&self) {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .in_a_row = 0;
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .in_a_row
            >= MOST_FAILURES
    }

    pub(super) fn last(&self) -> (u64, Option<Failure>) {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        (record.total, record.last.clone())
    }
}
