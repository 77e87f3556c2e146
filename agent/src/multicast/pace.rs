//! How fast the clients of a session may fetch beside its stream.
//!
//! While the stream is sent, clients outside it get little, so that a slow one does not slow down
//! the others. Everything is theirs once the stream has ended, and all in all they lose next to
//! nothing: whoever takes half a hundredth now and the whole line afterwards is done about when two
//! that share it from the start are. What they fetch never exceeds the limit of the session: it is
//! a limit of the wire, whichever way the chunks go.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_multicast::Rate;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as Turn};

/// Part of the stream's rate that all of them together have, in millionths.
const SHARE_PPM: u64 = 5_000;
/// Even beside a very slow stream a chunk comes every ten seconds or so.
const LEAST: Rate = Rate::from_bytes_per_second(100_000);
/// No chunk waits longer than this for a stream: even with very many clients outside it, none
/// should look as if it had stopped. The limit of the session holds all the same.
const GIVE_WAY: Duration = Duration::from_secs(60);

/// How a client stands to the stream of its session at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It receives the stream, which is being sent: what it fetches is part of the stream's rate.
    Inside,
    /// The stream is being sent at this rate, and the client continues by unicast.
    Outside { stream: Rate },
    /// Nothing is being sent to the group, or the client has nothing to do with it yet.
    Alone,
}

/// The rate at which chunks may go to clients that stand so, after one has waited for `waited`;
/// `None`: at any.
pub(super) fn allowed(standing: Standing, limit: Option<Rate>, waited: Duration) -> Option<Rate> {
    match standing {
        Standing::Inside => None,
        Standing::Outside { stream } if waited < GIVE_WAY => {
            let share = stream.share_ppm(SHARE_PPM).max(LEAST);
            Some(limit.map_or(share, |limit| share.min(limit)))
        }
        Standing::Outside { .. } | Standing::Alone => limit,
    }
}

/// The clients of one session share it.
#[derive(Debug)]
pub(super) struct Pace {
    state: Mutex<PaceState>,
    /// Whoever is first in line asks; the others wait behind it, in their order.
    line: AsyncMutex<()>,
}

#[derive(Debug)]
struct PaceState {
    limit: Option<Rate>,
    /// Bytes that were let through and are not paid for by time yet, as of `since`.
    owed: u64,
    since: Option<Instant>,
    let_through: u64,
}

impl Pace {
    pub(super) fn new(limit: Option<Rate>) -> Self {
        Self {
            state: Mutex::new(PaceState {
                limit,
                owed: 0,
                since: None,
                let_through: 0,
            }),
            line: AsyncMutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, PaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limit(&self) -> Option<Rate> {
        self.state().limit
    }

    /// Says whether it is another one.
    pub(super) fn set_limit(&self, limit: Option<Rate>) -> bool {
        std::mem::replace(&mut self.state().limit, limit) != limit
    }

    /// Bytes that were let through at a rate so far.
    #[cfg(test)]
    fn let_through(&self) -> u64 {
        self.state().let_through
    }

    pub(super) async fn turn(&self) -> Turn<'_, ()> {
        self.line.lock().await
    }

    /// Lets `bytes` through at `rate` if nothing is owed at `now`; otherwise says how long that will
    /// take at this rate.
    pub(super) fn ask(&self, bytes: u64, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let passed = state
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let paid = rate.bytes_in(passed);
        // A fraction of a byte is not lost: time that paid for nothing is counted again.
        if paid > 0 || state.owed == 0 {
            state.owed = state.owed.saturating_sub(paid);
            state.since = Some(now);
        }
        if state.owed > 0 {
            return Err(rate.time_for(state.owed).max(Duration::from_millis(1)));
        }
        state.owed = bytes;
        state.let_through += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 1 << 20;
    const SECOND: Duration = Duration::from_secs(1);

    /// A virtual clock: whoever waits for the pace moves it.
    fn run(pace: &Pace, standing: Standing, from: Instant, seconds: u32) -> (Instant, u64) {
        let (mut now, before) = (from, pace.let_through());
        while now < from + SECOND * seconds {
            let rate = allowed(standing, pace.limit(), Duration::ZERO).unwrap();
            if let Err(wait) = pace.ask(CHUNK, rate, now) {
                now += wait;
            }
        }
        (now, pace.let_through() - before)
    }

    #[test]
    fn all_outside_have_half_a_hundredth_of_the_stream() {
        let stream = Rate::from_megabits(1000);
        let pace = Pace::new(None);
        let (_, bytes) = run(&pace, Standing::Outside { stream }, Instant::now(), 100);
        let share = bytes as f64 / 100.0 / 125e6;
        assert!((0.0045..0.0055).contains(&share), "{share}");
    }

    #[test]
    fn the_limit_holds_without_a_stream_and_follows_a_change_at_once() {
        let pace = Pace::new(Some(Rate::from_megabits(80)));
        let (now, bytes) = run(&pace, Standing::Alone, Instant::now(), 60);
        let most = 60 * 10_000_000 + 2 * CHUNK;
        assert!((550_000_000..=most).contains(&bytes), "{bytes}");
        assert!(pace.set_limit(Some(Rate::from_megabits(8))));
        assert!(!pace.set_limit(Some(Rate::from_megabits(8))));
        let (_, bytes) = run(&pace, Standing::Alone, now, 60);
        assert!(
            (50_000_000..=60_000_000 + 2 * CHUNK).contains(&bytes),
            "{bytes}"
        );
    }

    #[test]
    fn what_is_owed_at_a_low_rate_is_soon_paid_at_a_high_one() {
        let (pace, now) = (Pace::new(None), Instant::now());
        assert!(pace.ask(CHUNK, LEAST, now).is_ok());
        assert!(pace.ask(CHUNK, LEAST, now).unwrap_err() > SECOND * 10);
        let fast = Rate::from_megabits(1000);
        assert!(pace.ask(CHUNK, fast, now).unwrap_err() < Duration::from_millis(20));
        assert!(
            pace.ask(CHUNK, fast, now + Duration::from_millis(20))
                .is_ok()
        );
    }

    #[test]
    fn nobody_exceeds_the_limit_however_long_it_has_waited() {
        let (limit, stream) = (Rate::from_megabits(5), Rate::from_megabits(4_000));
        let outside = Standing::Outside { stream };
        assert_eq!(allowed(outside, Some(limit), Duration::ZERO), Some(limit));
        assert_eq!(allowed(outside, Some(limit), GIVE_WAY), Some(limit));
        assert_eq!(allowed(outside, None, GIVE_WAY), None);
        assert_eq!(
            allowed(Standing::Alone, Some(limit), Duration::ZERO),
            Some(limit)
        );
        assert_eq!(allowed(Standing::Alone, None, Duration::ZERO), None);
        assert_eq!(allowed(Standing::Inside, Some(limit), Duration::ZERO), None);
    }
}
