//! How often a target gets a message, and when one that failed is tried again. Pure: time is an
//! argument.

use std::time::Duration;

use foghorn_types::Timestamp;

/// What a target may get: `burst` messages at once, and one more in each `interval`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    pub burst: u32,
    pub interval: Duration,
}

impl Allowance {
    /// Messages that may go now, when all so far are paid for by time until `paid`.
    #[must_use]
    pub fn now(self, paid: Timestamp, now: Timestamp) -> u32 {
        if self.interval.is_zero() {
            return self.burst;
        }
        // More debt than a full burst comes from other terms, or from a clock that was ahead.
        let debt = paid.since(now).min(self.interval * self.burst);
        let used = debt.as_millis().div_ceil(self.interval.as_millis().max(1));
        self.burst
            .saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// Until when all messages are paid for, after so many more.
    #[must_use]
    pub fn spend(self, paid: Timestamp, now: Timestamp, messages: u32) -> Timestamp {
        let latest = now + self.interval * self.burst;
        paid.clamp(now, latest) + self.interval * messages
    }
}

/// How the events that are pending become messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Split {
    /// Not yet.
    Wait,
    /// One message for each.
    Each,
    /// One message for all.
    Digest,
}

#[must_use]
pub fn split(pending: usize, allowed: u32) -> Split {
    match (pending, allowed) {
        (0, _) | (_, 0) => Split::Wait,
        (pending, allowed) if pending <= allowed as usize => Split::Each,
        _ => Split::Digest,
    }
}

/// When a message is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Attempts before nobody tries any more.
    pub attempts: u32,
    /// After the first attempt.
    pub first: Duration,
    /// Each time four times as long, but never longer than this.
    pub longest: Duration,
}

impl Default for Patience {
    /// About five hours.
    fn default() -> Self {
        Self {
            attempts: 10,
            first: Duration::from_secs(10),
            longest: Duration::from_secs(60 * 60),
        }
    }
}

impl Patience {
    /// Time from a failed attempt to the next one; `None` after the last. `seed` spreads messages
    /// that failed together by up to a fifth.
    #[must_use]
    pub fn after(self, failed: u32, seed: &str) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let factor = 4_u32.saturating_pow(failed.saturating_sub(1));
        let plain = self.first.saturating_mul(factor).min(self.longest);
        let hash = blake3::hash(format!("{seed}/{failed}").as_bytes());
        let part = f64::from(hash.as_bytes()[0]) / 255.0;
        Some(plain.mul_f64(0.8 + 0.4 * part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const TERMS: Allowance = Allowance {
        burst: 5,
        interval: MINUTE,
    };

    fn at(minutes: u32) -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000) + MINUTE * minutes
    }

    /// Four hundred machines that fail within a second are six messages in the first minute.
    #[test]
    fn a_broken_room_is_a_few_messages() {
        let (mut paid, mut pending, mut messages) = (Timestamp::from_millis(0), 0_usize, 0);
        let mut sizes = Vec::new();
        for (now, more) in [(at(0), 3), (at(0), 397), (at(0), 0), (at(1), 0), (at(2), 0)] {
            pending += more;
            let allowed = TERMS.now(paid, now);
            let sent = match split(pending, allowed) {
                Split::Wait => 0,
                Split::Each => pending,
                Split::Digest => 1,
            };
            if sent > 0 {
                paid = TERMS.spend(paid, now, u32::try_from(sent).unwrap());
                sizes.push(pending);
                pending = 0;
                messages += sent;
            }
        }
        assert_eq!((messages, pending), (4, 0), "three alone, one digest");
        assert_eq!(sizes, [3, 397]);
    }

    #[test]
    fn what_is_used_up_comes_back_with_time() {
        let mut paid = Timestamp::from_millis(0);
        for left in [5, 4, 3, 2, 1] {
            assert_eq!(TERMS.now(paid, at(0)), left);
            paid = TERMS.spend(paid, at(0), 1);
        }
        assert_eq!(TERMS.now(paid, at(0)), 0);
        assert_eq!(split(7, TERMS.now(paid, at(0))), Split::Wait);
        assert_eq!(TERMS.now(paid, at(0) + MINUTE / 2), 0);
        assert_eq!(TERMS.now(paid, at(1)), 1);
        assert_eq!(TERMS.now(paid, at(3)), 3);
        assert_eq!(TERMS.now(paid, at(99)), 5);
    }

    #[test]
    fn a_clock_that_was_ahead_costs_one_burst_at_most() {
        let paid = at(100_000);
        assert_eq!(TERMS.now(paid, at(0)), 0);
        let paid = TERMS.spend(paid, at(0), 0);
        assert_eq!(TERMS.now(paid, at(5)), 5);
    }

    #[test]
    fn tries_are_further_and_further_apart_and_come_to_an_end() {
        let patience = Patience::default();
        let waits: Vec<u64> = (1..10)
            .map(|failed| patience.after(failed, "id").unwrap().as_secs())
            .collect();
        for (wait, plain) in waits
            .iter()
            .zip([10, 40, 160, 640, 2560, 3600, 3600, 3600, 3600])
        {
            assert!((plain * 4 / 5..=plain * 6 / 5).contains(wait), "{waits:?}");
        }
        assert_eq!(patience.after(10, "id"), None);
        assert_ne!(
            patience.after(3, "one"),
            patience.after(3, "two"),
            "they do not all come at once"
        );
    }
}
