//! The check of everything that is stored: by and by, within a budget, and at once where something
//! does not count until it was read again. What is found damaged is reported, and comes again from
//! another node.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_chunk_store::{ScrubError, ScrubProgress, ScrubReport, Store};
use foghorn_types::{Allowed, Timestamp, chain};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Upkeep;
use crate::marks::Marks;

/// Between two looks at whether anything is due, or whether the time of the day allows it.
const LOOK: Duration = Duration::from_secs(10);
/// The longest sleep of a check that keeps to its rate: it is to end soon when it must.
const NAP: Duration = Duration::from_millis(100);
/// A part that failed is tried again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// What the check works with.
pub(crate) struct Patrol {
    pub store: Arc<Store>,
    pub marks: Arc<Marks>,
    pub upkeep: Upkeep,
    /// Woken when something is found, or counts again.
    pub store_changed: Arc<Notify>,
    pub cancel: CancellationToken,
}

/// What comes next.
enum Next {
    /// Nothing is due, or the time of the day forbids it.
    Nothing,
    /// A part, or the records (`None`).
    Check { part: Option<u8>, urgent: bool },
}

impl Patrol {
    /// Runs until cancelled.
    pub(crate) async fn run(self) {
        let patrol = Arc::new(self);
        patrol.clone().look_at_all().await;
        while !patrol.cancel.is_cancelled() {
            let (part, urgent) = match patrol.next(Timestamp::now(), minute_of_day()) {
                Next::Check { part, urgent } => (part, urgent),
                Next::Nothing => {
                    patrol.pause(LOOK).await;
                    continue;
                }
            };
            let this = patrol.clone();
            let check = move || this.check(part, urgent);
            match tokio::task::spawn_blocking(check).await {
                Ok(Ok(report)) => patrol.took(part, &report),
                Ok(Err(error)) => {
                    warn!(error = %chain(&error), "the check of the chunk store did not go on");
                    patrol.pause(AGAIN).await;
                }
                Err(error) => {
                    error!(error = %chain(&error), "the check of the chunk store broke off");
                    patrol.pause(AGAIN).await;
                }
            }
        }
    }

    async fn pause(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.cancel.cancelled()).await;
    }

    /// Whether everything that does not count is there at all is known within moments.
    async fn look_at_all(self: Arc<Self>) {
        let look = move || {
            for manifest in self.marks.not_looked_at() {
                match self.store.look_again_at(manifest) {
                    Ok(presence) => self.marks.looked_at(manifest, presence),
                    Err(error) => warn!(manifest = %format!("{manifest:#}"),
                        error = %chain(&error), "could not look up the chunks of an image"),
                }
                if self.cancel.is_cancelled() {
                    return;
                }
            }
            self.store_changed.notify_one();
        };
        // Its panic is in the log; the check itself finds the same.
        let _ = tokio::task::spawn_blocking(look).await;
    }

    fn next(&self, now: Timestamp, minute: u16) -> Next {
        let (round, urgent) = (self.marks.round(), self.marks.is_urgent());
        let part = round.next_part();
        let is_due = urgent || round.is_due(self.upkeep.check_every, now);
        match is_due && self.upkeep.budget(urgent).allowed(minute) != Allowed::Nothing {
            true => Next::Check { part, urgent },
            false => Next::Nothing,
        }
    }

    fn check(&self, part: Option<u8>, urgent: bool) -> Result<ScrubReport, ScrubError> {
        let mut pace = Pace::new(Instant::now());
        let mut progress = |progress: ScrubProgress| {
            let allowed = self.upkeep.budget(urgent).allowed(minute_of_day());
            self.keep_to(&mut pace, progress.bytes, allowed)
        };
        match part {
            Some(part) => self.store.check_part(part, &mut progress),
            None => self.store.check_records(&mut progress),
        }
    }

    /// Sleeps until so many bytes may have been read.
    fn keep_to(&self, pace: &mut Pace, bytes: u64, allowed: Allowed) -> ControlFlow<()> {
        loop {
            if self.cancel.is_cancelled() {
                return ControlFlow::Break(());
            }
            match pace.wait(bytes, allowed, Instant::now()) {
                None => return ControlFlow::Break(()),
                Some(Duration::ZERO) => return ControlFlow::Continue(()),
                Some(wait) => std::thread::sleep(wait.min(NAP)),
            }
        }
    }

    /// What was interrupted is begun anew with the same part.
    fn took(&self, part: Option<u8>, report: &ScrubReport) {
        for damaged in &report.damaged {
            error!(chunk = %damaged.id, error = %damaged.problem, "a stored chunk is damaged");
        }
        for record in &report.records {
            error!(record = ?record.what, error = record.problem,
                "what names the chunks of an image or a file is damaged");
        }
        if !report.is_clean() {
            self.store_changed.notify_one();
        }
        if report.stopped {
            return;
        }
        let (damaged, now) = (report.damaged.len() as u64, Timestamp::now());
        match part {
            Some(part) => self
                .marks
                .in_round(|round| round.part_done(part, damaged, now)),
            None => {
                self.marks.round_ended(damaged, now);
                self.store_changed.notify_one();
                let (_, damaged) = self.marks.round().last();
                info!(damaged, "everything that is stored here was checked");
            }
        }
    }
}

/// Why the check does not go on now; empty while it does, or when none is due.
pub(crate) fn waits_for(marks: &Marks, upkeep: &Upkeep, now: Timestamp) -> &'static str {
    let urgent = marks.is_urgent();
    let forbidden = upkeep.budget(urgent).allowed(minute_of_day()) == Allowed::Nothing;
    let due = urgent || marks.round().is_due(upkeep.check_every, now);
    match due && forbidden {
        true => "for the time of the day at which it may go on",
        false => "",
    }
}

/// In the time zone of the machine.
fn minute_of_day() -> u16 {
    let now = jiff::Zoned::now();
    now.hour() as u16 * 60 + now.minute() as u16
}

/// Keeps to a rate that may change at any time.
struct Pace {
    owed: f64,
    seen: u64,
    since: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            owed: 0.0,
            seen: 0,
            since: now,
        }
    }

    /// How long to wait now that so many bytes were read in all; `None`: until the time of the day
    /// allows it again.
    fn wait(&mut self, bytes: u64, allowed: Allowed, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.owed += bytes.saturating_sub(self.seen) as f64;
        (self.seen, self.since) = (bytes, now);
        match allowed {
            Allowed::Nothing => None,
            Allowed::Unlimited => {
                self.owed = 0.0;
                Some(Duration::ZERO)
            }
            Allowed::Rate(rate) => {
                let rate = rate.bytes_per_second().max(1) as f64;
                self.owed = (self.owed - passed * rate).max(0.0);
                // Less than a millisecond is made up for later.
                let wait = Duration::from_secs_f64((self.owed / rate).min(3600.0));
                Some(wait).map(|wait| match wait < Duration::from_millis(1) {
                    true => Duration::ZERO,
                    false => wait,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::BitRate;

    use super::*;

    #[test]
    fn the_rate_is_kept_also_when_it_changes_in_the_middle() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut slept = Duration::ZERO;
        let mut read = |bytes, rate| {
            while let Some(wait) = pace.wait(bytes, rate, now).filter(|wait| !wait.is_zero()) {
                let nap = wait.min(NAP);
                (now, slept) = (now + nap, slept + nap);
            }
            slept.as_secs_f64()
        };
        let megabyte = Allowed::Rate(BitRate::from_bytes_per_second(1_000_000));
        for n in 1..=10 {
            read(n * 500_000, megabyte);
        }
        let first = read(5_000_000, megabyte);
        assert!((4.9..=5.0).contains(&first), "{first}");
        let fast = Allowed::Rate(BitRate::from_bytes_per_second(10_000_000));
        let second = read(15_000_000, fast) - first;
        assert!((0.9..=1.1).contains(&second), "{second}");
        assert_eq!(read(99_000_000, Allowed::Unlimited), first + second);
        assert_eq!(pace.wait(99_000_001, Allowed::Nothing, now), None);
    }
}
