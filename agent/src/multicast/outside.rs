//! How much clients outside a session may fetch from its node while it sends: little, so that a
//! slow one does not slow down the others. Everything is theirs once the stream has ended, and all
//! in all they lose next to nothing: whoever takes half a hundredth now and the whole line
//! afterwards is done about when two that share it from the start are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foghorn_multicast::Rate;

/// Part of the stream's rate that all of them together have, in millionths.
const SHARE_PPM: u64 = 5_000;
/// Even beside a very slow stream a chunk comes every ten seconds or so.
const LEAST: Rate = Rate::from_bytes_per_second(100_000);

/// Shares a small rate between all receivers that are outside the session.
#[derive(Debug, Default)]
pub(super) struct OutsideRate {
    /// When what was let through so far is paid for.
    free_at: Mutex<Option<Instant>>,
}

impl OutsideRate {
    /// Lets `bytes` through if nothing is owed at `now`, beside a stream of `stream`; otherwise
    /// says how long to wait before asking again.
    pub(super) fn ask(&self, bytes: u64, stream: Rate, now: Instant) -> Result<(), Duration> {
        let rate = stream.share_ppm(SHARE_PPM).max(LEAST);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        match *free_at {
            Some(at) if at > now => Err(at - now),
            _ => {
                *free_at = Some(now + rate.time_for(bytes));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_have_half_a_hundredth() {
        let (outside, began) = (OutsideRate::default(), Instant::now());
        let (mut now, mut bytes) = (began, 0);
        while now < began + Duration::from_secs(100) {
            match outside.ask(1 << 20, Rate::from_megabits(1000), now) {
                Ok(()) => bytes += 1 << 20,
                Err(wait) => now += wait,
            }
        }
        let share = bytes as f64 / 100.0 / 125e6;
        assert!((0.0045..0.0055).contains(&share), "{share}");
    }
}
