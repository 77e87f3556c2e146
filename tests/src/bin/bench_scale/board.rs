//! What the simulated agents have received, for those who wait for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The order of a task, as it came.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) task: u32,
    /// Index of the agent that has it.
    pub(crate) agent: usize,
    pub(crate) at: Instant,
}

#[derive(Default)]
pub(crate) struct Board {
    seen: Mutex<Seen>,
    changed: Condvar,
    reports: AtomicU64,
    linked: AtomicU64,
    lost: AtomicU64,
}

#[derive(Default)]
struct Seen {
    /// By host. The first time that the order for its task came to its agent.
    opened: HashMap<u32, Opened>,
    /// Ended tasks whose end the controller has recorded.
    recorded: HashSet<u32>,
    /// Why a link was not accepted, or was lost; the last time.
    problem: Option<String>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened(&self, host: u32, opened: Opened) {
        self.lock().opened.insert(host, opened);
        self.changed.notify_all();
    }

    pub(crate) fn recorded(&self, task: u32) {
        self.lock().recorded.insert(task);
        self.changed.notify_all();
    }

    pub(crate) fn linked(&self) {
        self.linked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost_link(&self, why: String) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.lock().problem = Some(why);
    }

    pub(crate) fn reported(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports on the progress of transfers that were sent so far.
    pub(crate) fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }

    /// Links that were accepted so far.
    pub(crate) fn links(&self) -> u64 {
        self.linked.load(Ordering::Relaxed)
    }

    /// Links that were lost or refused so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// Tasks that agents have orders for.
    pub(crate) fn tasks(&self) -> Vec<u32> {
        let seen = self.lock();
        seen.opened.values().map(|opened| opened.task).collect()
    }

    /// The host's task is over.
    pub(crate) fn forget(&self, host: u32) {
        self.lock().opened.remove(&host);
    }

    /// Waits for the order of a host's task.
    pub(crate) fn wait_opened(&self, host: u32, within: Duration) -> Result<Opened> {
        let what = format!("the order for host {host}");
        self.wait(&what, within, |seen| seen.opened.get(&host).copied())
    }

    /// Waits until the controller has recorded the end of a task.
    pub(crate) fn wait_recorded(&self, task: u32, within: Duration) -> Result<()> {
        let what = format!("the recorded end of task {task}");
        self.wait(&what, within, |seen| {
            seen.recorded.contains(&task).then_some(())
        })
    }

    fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        found: impl Fn(&Seen) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        let mut seen = self.lock();
        loop {
            if let Some(value) = found(&seen) {
                return Ok(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let problem = seen.problem.as_deref().unwrap_or("no link was lost");
                bail!("timeout after {within:?} while waiting for {what} ({problem})");
            }
            let waited = self.changed.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
