//! Waiting longer after each failure, and never in step with the other agents.

use std::time::Duration;

/// Exponential back-off with full jitter in its upper half: the n-th wait lies between half of and
/// the whole of `first * 2^n`, at most `longest`. Four hundred agents that lost the same controller
/// do not come back in one wave.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts at `first` and never waits longer than `longest`.
    #[must_use]
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// How long to wait before the next attempt. `random` is any number, evenly spread over `u32`.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(1 << self.failures.min(20))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = ceiling / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// The attempt worked, if only for a moment: the next wait is not longer than `longest`, and grows from there.
    pub(crate) fn ease(&mut self, longest: Duration) {
        let is_longer = |failures: u32| self.first.saturating_mul(1 << failures.min(20)) > longest;
        let mut failures = self.failures.min(20);
        while failures > 0 && is_longer(failures) {
            failures -= 1;
        }
        self.failures = failures;
    }

    /// The attempt worked: the next failure starts from the shortest wait again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let longest: Vec<_> = (0..8).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(longest, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(
            backoff.next(0),
            Duration::from_millis(100),
            "the shortest wait is half of the first"
        );
    }

    #[test]
    fn what_worked_for_a_moment_is_not_waited_for_long() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        for _ in 0..100 {
            backoff.next(u32::MAX);
        }
        backoff.ease(Duration::from_secs(2));
        assert_eq!(backoff.next(u32::MAX).as_millis(), 1600);
        assert_eq!(backoff.next(u32::MAX).as_millis(), 3200);
        backoff.reset();
        backoff.ease(Duration::from_secs(2));
        assert_eq!(backoff.next(u32::MAX).as_millis(), 200);
    }

    #[test]
    fn a_year_of_failures_does_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        for random in 0..100_000 {
            assert!(backoff.next(random) <= Duration::from_secs(10));
        }
    }
}
