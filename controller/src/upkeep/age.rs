//! Whether the clock may be trusted with deleting what is old. Pure.
//!
//! A clock that is far ahead makes everything old. So deletion by age pauses when the time is much
//! later than the last one that was taken for right, or has jumped while the program ran, and goes
//! on when the program has run with that time for a day: nobody overlooks a wrong clock that long,
//! and a server that was off over the holidays keeps old records for one day more.

use std::time::{Duration, Instant};

use foghorn_types::Timestamp;

/// A server may be off this long without a pause.
const GAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The clock and the monotonic time may differ by this much between two rounds.
const DRIFT: Duration = Duration::from_secs(60 * 60);
/// How long deletion pauses.
const PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The clock of the computer and the one that only goes forward, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) time: Timestamp,
    pub(super) instant: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct AgeGate {
    last: Option<Moment>,
    paused_until: Option<Instant>,
}

/// What a round may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Delete what is old, and note the time as seen.
    Go,
    /// Delete nothing; a text that says why when the pause has just begun.
    Paused { new: Option<String> },
}

impl AgeGate {
    /// Judges the time of a round. `seen` is the latest time that was taken for right.
    pub(super) fn judge(&mut self, now: Moment, seen: Option<Timestamp>) -> Verdict {
        let jump = match self.last.replace(now) {
            Some(last) => jumped(last, now),
            None => seen.and_then(|seen| leapt(seen, now.time)),
        };
        if let Some(why) = jump {
            self.paused_until = Some(now.instant + PAUSE);
            return Verdict::Paused { new: Some(why) };
        }
        match self.paused_until {
            Some(until) if now.instant < until => Verdict::Paused { new: None },
            _ => {
                self.paused_until = None;
                Verdict::Go
            }
        }
    }
}

fn jumped(last: Moment, now: Moment) -> Option<String> {
    let expected = last.time + now.instant.saturating_duration_since(last.instant);
    let off = now.time.since(expected).max(expected.since(now.time));
    (off > DRIFT).then(|| {
        format!(
            "the clock has jumped from {expected} to {}: nothing is deleted by age for a day",
            now.time
        )
    })
}

fn leapt(seen: Timestamp, now: Timestamp) -> Option<String> {
    (now.since(seen) > GAP).then(|| {
        format!(
            "it is {now}, and this installation last ran at {seen}: nothing is deleted by age for a day, \
             because the clock may be wrong"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Rounds at (hours that have passed, hours by the clock): whether each may delete.
    fn rounds(seen: Option<u32>, at: &[(u32, u32)]) -> Vec<bool> {
        let (start, mut gate) = (Instant::now(), AgeGate::default());
        let zero = Timestamp::from_millis(1_700_000_000_000);
        let seen = seen.map(|hours| zero + HOUR * hours);
        at.iter()
            .map(|&(passed, clock)| {
                let now = Moment {
                    time: zero + HOUR * clock,
                    instant: start + HOUR * passed,
                };
                gate.judge(now, seen) == Verdict::Go
            })
            .collect()
    }

    #[test]
    fn an_ordinary_clock_lets_everything_pass() {
        assert_eq!(
            rounds(None, &[(0, 0), (1, 1), (50, 50)]),
            [true, true, true]
        );
        assert_eq!(rounds(Some(0), &[(0, 100), (1, 101)]), [true, true]);
    }

    #[test]
    fn a_clock_far_ahead_at_the_start_pauses_for_a_day() {
        let year = 365 * 24;
        assert_eq!(
            rounds(
                Some(0),
                &[(0, year), (1, year + 1), (23, year + 23), (25, year + 25)]
            ),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_jump_while_running_pauses_in_both_directions() {
        let (ahead, back) = ([(0, 9), (1, 900), (2, 901)], [(0, 900), (1, 9), (2, 10)]);
        assert_eq!(rounds(Some(9), &ahead), [true, false, false]);
        assert_eq!(rounds(Some(900), &back), [true, false, false]);
        // There and back again within a day: still a pause, counted from the last jump.
        assert_eq!(
            rounds(Some(9), &[(0, 9), (1, 900), (2, 11), (20, 29), (27, 36)]),
            [true, false, false, false, true]
        );
        assert!(PAUSE == DAY);
    }
}
