//! The progress of a transfer: how far, how fast, and what limits it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foghorn_proto::link::{SessionProgress, Stage};
use foghorn_types::{BitRate, TaskId};

/// The rate is taken over this long: long enough to be calm, short enough to show a stall.
const WINDOW: Duration = Duration::from_secs(5);

/// What the client said last about its own side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ClientReport {
    pub bytes_done: u64,
    pub bytes_total: u64,
    pub bytes_reused: u64,
    pub limiting: Stage,
}

/// Counts one session's transfer. Shared by its lanes; cheap to touch from each of them.
#[derive(Default)]
pub(super) struct Meter {
    wire: AtomicU64,
    /// As the client says.
    elsewhere: AtomicU64,
    new_stored: AtomicU64,
    disk_wait_micros: AtomicU64,
    touched: AtomicBool,
    client: Mutex<ClientReport>,
    last: Mutex<SessionProgress>,
    rate: Mutex<RateWindow>,
}

impl Meter {
    /// Compressed bytes that crossed the network.
    pub(super) fn add_wire(&self, bytes: u64) {
        self.wire.fetch_add(bytes, Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Compressed bytes that the client has from other nodes, in all.
    pub(super) fn fetched_elsewhere(&self, bytes: u64) {
        self.elsewhere.fetch_max(bytes, Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Compressed bytes that were not in the store before.
    pub(super) fn add_new_stored(&self, bytes: u64) {
        self.new_stored.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn new_stored(&self) -> u64 {
        self.new_stored.load(Ordering::Relaxed)
    }

    /// Time in which the network could have gone on and our disk could not.
    pub(super) fn add_disk_wait(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.disk_wait_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn client_says(&self, report: ClientReport) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = report;
        self.touched.store(true, Ordering::Relaxed);
    }

    /// The progress message, or `None` when nothing has moved since the last one was made. To be
    /// called once per `period`.
    pub(super) fn tick(
        &self,
        task: TaskId,
        now: Instant,
        period: Duration,
    ) -> Option<SessionProgress> {
        let moved = self.touched.swap(false, Ordering::Relaxed);
        let progress = self.report(task, now, period);
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&progress);
        // A transfer that has stopped is reported until its rate has fallen to nothing, then no
        // more.
        (moved || progress.rate_bytes_per_second > 0).then_some(progress)
    }

    /// The figures of the latest [`tick`](Self::tick).
    pub(super) fn last(&self) -> SessionProgress {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The figures now.
    pub(super) fn report(&self, task: TaskId, now: Instant, period: Duration) -> SessionProgress {
        let client = *self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let mut window = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        window.note(now, client.bytes_done);
        let rate = window.rate().bytes_per_second();
        drop(window);
        let waited = Duration::from_micros(self.disk_wait_micros.swap(0, Ordering::Relaxed));
        let limiting = if waited * 2 > period {
            Stage::Disk
        } else {
            client.limiting
        };
        let left = client.bytes_total.saturating_sub(client.bytes_done);
        SessionProgress {
            task_id: task.get(),
            bytes_done: client.bytes_done,
            bytes_total: client.bytes_total,
            bytes_wire: self
                .wire
                .load(Ordering::Relaxed)
                .saturating_add(self.elsewhere.load(Ordering::Relaxed)),
            rate_bytes_per_second: rate,
            eta_seconds: left
                .checked_div(rate)
                .map_or(0, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
            limiting_stage: limiting.into(),
            bytes_reused: client.bytes_reused,
        }
    }
}

/// Byte counts at points in time, the last few seconds of them.
#[derive(Default)]
struct RateWindow {
    points: VecDeque<(Instant, u64)>,
}

impl RateWindow {
    fn note(&mut self, now: Instant, bytes: u64) {
        // A client that starts again counts from the beginning; a rate across the break would mean
        // nothing.
        if self.points.back().is_some_and(|(_, last)| bytes < *last) {
            self.points.clear();
        }
        self.points.push_back((now, bytes));
        while self
            .points
            .get(1)
            .is_some_and(|(second, _)| now.saturating_duration_since(*second) >= WINDOW)
        {
            self.points.pop_front();
        }
    }

    fn rate(&self) -> BitRate {
        let (Some((start, first)), Some((end, last))) = (self.points.front(), self.points.back())
        else {
            return BitRate::default();
        };
        BitRate::average(last - first, end.saturating_duration_since(*start)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn task() -> TaskId {
        TaskId::new(1).unwrap()
    }

    fn says(meter: &Meter, bytes_done: u64) {
        meter.client_says(ClientReport {
            bytes_done,
            bytes_total: 1000,
            bytes_reused: 0,
            limiting: Stage::Network,
        });
    }

    #[test]
    fn rate_and_eta_follow_the_last_five_seconds() {
        let (meter, start) = (Meter::default(), Instant::now());
        let mut last = None;
        for second in 0..10u32 {
            says(&meter, u64::from(second) * 100);
            last = meter.tick(task(), start + SECOND * second, SECOND);
        }
        let last = last.unwrap();
        assert_eq!((last.rate_bytes_per_second, last.eta_seconds), (100, 1));
    }

    #[test]
    fn a_stalled_transfer_falls_to_nothing_and_then_is_silent() {
        let (meter, start) = (Meter::default(), Instant::now());
        says(&meter, 0);
        meter.tick(task(), start, SECOND);
        says(&meter, 500);
        let rates: Vec<_> = (1..20)
            .filter_map(|second| meter.tick(task(), start + SECOND * second, SECOND))
            .map(|progress| progress.rate_bytes_per_second)
            .collect();
        assert!(
            rates.len() < 10 && rates.is_sorted_by(|a, b| a >= b),
            "{rates:?}"
        );
    }

    #[test]
    fn our_disk_is_named_when_it_was_waited_for() {
        let (meter, start) = (Meter::default(), Instant::now());
        says(&meter, 1);
        meter.add_disk_wait(SECOND * 3 / 4);
        assert_eq!(
            meter.tick(task(), start, SECOND).unwrap().limiting_stage(),
            Stage::Disk
        );
        says(&meter, 2);
        assert_eq!(
            meter
                .tick(task(), start + SECOND, SECOND)
                .unwrap()
                .limiting_stage(),
            Stage::Network
        );
    }

    #[test]
    fn a_client_that_starts_again_has_no_negative_rate() {
        let (meter, start) = (Meter::default(), Instant::now());
        says(&meter, 900);
        meter.tick(task(), start, SECOND);
        says(&meter, 10);
        assert_eq!(
            meter
                .tick(task(), start + SECOND, SECOND)
                .unwrap()
                .rate_bytes_per_second,
            0
        );
    }
}
