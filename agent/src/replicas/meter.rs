//! How a copy is doing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_proto::link::{ReplicaPhase, ReplicaReport};
use foghorn_types::NodeName;

/// The rate is taken over this long.
const WINDOW: Duration = Duration::from_secs(5);
/// Bytes of a reason that the controller is sent.
const REASON: usize = 1000;

/// Counts one copy. Shared by what moves it.
pub(super) struct Meter(Mutex<Counted>);

struct Counted {
    report: ReplicaReport,
    points: VecDeque<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new(copy: u32) -> Self {
        let report = ReplicaReport {
            copy_id: copy,
            phase: ReplicaPhase::Waiting.into(),
            ..ReplicaReport::default()
        };
        Self(Mutex::new(Counted {
            report,
            points: VecDeque::new(),
        }))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_total(&self, chunks: u64) {
        self.counted().report.chunks_total = chunks;
    }

    /// Chunks that were here and are right.
    pub(super) fn add_held(&self, chunks: u64) {
        self.counted().report.chunks_verified += chunks;
    }

    /// Chunks that came, were right, and are durable.
    pub(super) fn add_stored(&self, chunks: u64) {
        let mut counted = self.counted();
        counted.report.chunks_verified += chunks;
        counted.report.chunks_fetched += chunks;
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.counted().report.bytes_fetched += bytes;
    }

    pub(super) fn copying_from(&self, node: &NodeName) {
        let mut counted = self.counted();
        counted.report.source = node.to_string();
        counted.report.problem.clear();
        counted.report.set_phase(ReplicaPhase::Copying);
    }

    pub(super) fn waiting(&self, problem: &str) {
        let mut counted = self.counted();
        counted.report.source.clear();
        counted.report.problem = cut(problem);
        counted.report.set_phase(ReplicaPhase::Waiting);
    }

    pub(super) fn ended(&self, end: Result<(), String>) {
        let mut counted = self.counted();
        match end {
            Ok(()) => {
                counted.report.problem.clear();
                counted.report.set_phase(ReplicaPhase::Done);
            }
            Err(problem) => {
                counted.report.problem = cut(&problem);
                counted.report.set_phase(ReplicaPhase::Failed);
            }
        }
    }

    /// The figures at `now`.
    pub(super) fn report(&self, now: Instant) -> ReplicaReport {
        let mut counted = self.counted();
        let bytes = counted.report.bytes_fetched;
        counted.points.push_back((now, bytes));
        while counted
            .points
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            counted.points.pop_front();
        }
        let first = counted.points.front().copied().unwrap_or((now, bytes));
        let took = now.duration_since(first.0).as_millis() as u64;
        let moved = (bytes - first.1).saturating_mul(1000);
        counted.report.rate_bytes_per_second = moved.checked_div(took).unwrap_or(0);
        counted.report.clone()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let (meter, start) = (Meter::new(1), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(meter.report(start).rate_bytes_per_second, 0);
        for number in 1..=10 {
            meter.add_bytes(1000);
            assert_eq!(
                meter.report(start + second * number).rate_bytes_per_second,
                1000
            );
        }
        let later = meter.report(start + second * 30);
        assert_eq!(
            (later.rate_bytes_per_second, later.bytes_fetched),
            (0, 10_000)
        );
    }

    #[test]
    fn a_problem_goes_when_a_source_answers() {
        let meter = Meter::new(1);
        meter.waiting("nobody answers");
        let node: NodeName = "north".parse().unwrap();
        meter.copying_from(&node);
        let report = meter.report(Instant::now());
        assert_eq!(
            (report.phase(), report.problem.as_str()),
            (ReplicaPhase::Copying, "")
        );
        assert_eq!(report.source, "north");
        meter.ended(Err("x".repeat(5000)));
        assert_eq!(meter.report(Instant::now()).problem.len(), REASON);
    }
}
