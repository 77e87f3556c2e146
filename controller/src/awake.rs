//! Time in which this process has run.
//!
//! A process that was stopped, or whose machine was suspended, goes on with what it last heard of
//! its agents. Others have heard more since: that an agent has been silent for so long must not be
//! concluded from a time in which nobody listened.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// How often the time is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Whoever has not looked for longer did not run. A busy machine may leave out a look.
const RAN_WITHIN: Duration = Duration::from_secs(3);

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

struct Clock {
    looked: Instant,
    /// All the time in which the process did not run.
    lost: Duration,
}

impl Clock {
    /// The time without what was lost, and what was lost just now.
    fn look(&mut self, real: Instant) -> (Instant, Option<Duration>) {
        let gap = real.saturating_duration_since(self.looked);
        self.looked = self.looked.max(real);
        let lost = (gap > RAN_WITHIN).then_some(gap);
        self.lost += lost.unwrap_or_default();
        (real.checked_sub(self.lost).unwrap_or(real), lost)
    }
}

/// Now, less all the time in which this process did not run. Only to be compared with its like.
#[must_use]
pub fn now() -> Instant {
    let real = Instant::now();
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = clock.get_or_insert(Clock {
        looked: real,
        lost: Duration::ZERO,
    });
    let (now, lost) = clock.look(real);
    if let Some(lost) = lost {
        warn!(
            seconds = lost.as_secs(),
            "this process did not run for a while"
        );
    }
    now
}

/// How long ago an instant of [`now`] was.
#[must_use]
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Looks at the time again and again, so that a gap is one.
pub(crate) async fn watch() {
    loop {
        let _looked = now();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let begun = Instant::now();
        let mut clock = Clock {
            looked: begun,
            lost: Duration::ZERO,
        };
        let mut at = |millis| clock.look(begun + Duration::from_millis(millis));
        let after = |millis| begun + Duration::from_millis(millis);
        assert_eq!(at(500), (after(500), None));
        assert_eq!(at(3400), (after(3400), None), "a busy machine");
        assert_eq!(at(63_400), (after(3400), Some(Duration::from_secs(60))));
        assert_eq!(at(64_000), (after(4000), None));
    }
}
