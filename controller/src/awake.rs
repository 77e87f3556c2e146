//! Time in which this process has run.
//!
//! A process that was stopped, or whose machine was suspended, goes on with what it last heard of
//! its agents. Others have heard more since: that an agent has been silent for so long must not be
//! concluded from a time in which nobody listened.
//!
//! It counts with tokio's clock, which a simulation moves. There, several controllers are in one
//! process, and each has a [`Clock`] of its own.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// How often the time is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Whoever has not looked for longer did not run. A busy machine may leave out a look.
const RAN_WITHIN: Duration = Duration::from_secs(3);

/// That of this process.
static CLOCK: Clock = Clock(Mutex::new(None));

thread_local! {
    /// That of a simulated process which runs in this thread now.
    static SIMULATED: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

/// What one process knows of the time in which it ran.
#[derive(Default)]
pub struct Clock(Mutex<Option<Looks>>);

struct Looks {
    last: Instant,
    /// All the time in which the process did not run.
    lost: Duration,
}

impl Clock {
    fn look(&self, real: Instant) -> Instant {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = looks.get_or_insert(Looks {
            last: real,
            lost: Duration::ZERO,
        });
        let (now, lost) = looks.look(real);
        if let Some(lost) = lost {
            warn!(
                seconds = lost.as_secs(),
                "this process did not run for a while"
            );
        }
        now
    }
}

impl Looks {
    /// The time without what was lost, and what was lost just now.
    fn look(&mut self, real: Instant) -> (Instant, Option<Duration>) {
        let gap = real.saturating_duration_since(self.last);
        self.last = self.last.max(real);
        let lost = (gap > RAN_WITHIN).then_some(gap);
        self.lost += lost.unwrap_or_default();
        (real.checked_sub(self.lost).unwrap_or(real), lost)
    }
}

/// Now, less all the time in which this process did not run. Only to be compared with its like.
#[must_use]
pub fn now() -> Instant {
    let real = tokio::time::Instant::now().into_std();
    let simulated = if cfg!(debug_assertions) {
        SIMULATED.with_borrow(Option::clone)
    } else {
        None
    };
    simulated.as_deref().unwrap_or(&CLOCK).look(real)
}

/// How long ago an instant of [`now`] was.
#[must_use]
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// From here on the calling thread is a simulated process with this clock; with `None` it belongs to
/// the real one again. Does nothing in a release build.
pub fn simulate(clock: Option<Arc<Clock>>) {
    SIMULATED.set(clock);
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
        let mut looks = Looks {
            last: begun,
            lost: Duration::ZERO,
        };
        let mut at = |millis| looks.look(begun + Duration::from_millis(millis));
        let after = |millis| begun + Duration::from_millis(millis);
        assert_eq!(at(500), (after(500), None));
        assert_eq!(at(3400), (after(3400), None), "a busy machine");
        assert_eq!(at(63_400), (after(3400), Some(Duration::from_secs(60))));
        assert_eq!(at(64_000), (after(4000), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_process_has_a_clock_of_its_own() {
        let clock = Arc::new(Clock::default());
        let one = |clock: &Arc<Clock>| {
            simulate(Some(clock.clone()));
            let now = now();
            simulate(None);
            now
        };
        let before = one(&clock);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(one(&clock), before, "it did not look for a minute");
    }
}
