//! Failed log-ins, counted in token buckets: one for each name that was tried and one for each
//! address that tried.
//!
//! Pure: time is an argument. Memory is bounded: a full bucket is removed, and when there are too
//! many others, the one that is nearest to full is removed, which is the one with the fewest
//! failures.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::config::Allowance;

/// Maximum number of buckets of one kind.
const MOST_BUCKETS: usize = 16_384;

/// The remaining tokens for one name or address.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Buckets of one kind.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    allowance: Allowance,
    most: usize,
    buckets: HashMap<K, Bucket>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    #[must_use]
    pub(super) fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            most: MOST_BUCKETS,
            buckets: HashMap::new(),
        }
    }

    fn now(&self, bucket: Bucket, now: Instant) -> f64 {
        let refilled = now.saturating_duration_since(bucket.at).as_secs_f64()
            / self.allowance.refill.as_secs_f64();
        (bucket.left + refilled).min(self.allowance.burst.into())
    }

    /// How long `key` must wait; `None` when it may try now.
    #[must_use]
    pub(super) fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let left = self.now(*self.buckets.get(key)?, now);
        (left < 1.0).then(|| self.allowance.refill.mul_f64(1.0 - left))
    }

    /// Counts a failure. Returns whether it was the last one allowed.
    pub(super) fn fail(&mut self, key: &K, now: Instant) -> bool {
        let full = Bucket {
            left: self.allowance.burst.into(),
            at: now,
        };
        let left = self.now(self.buckets.get(key).copied().unwrap_or(full), now);
        if !self.buckets.contains_key(key) && self.buckets.len() >= self.most {
            self.make_room(now);
        }
        let after = (left - 1.0).max(0.0);
        self.buckets.insert(
            key.clone(),
            Bucket {
                left: after,
                at: now,
            },
        );
        left >= 1.0 && after < 1.0
    }

    fn make_room(&mut self, now: Instant) {
        let full = f64::from(self.allowance.burst);
        let mut levels: Vec<(K, f64)> = self
            .buckets
            .iter()
            .map(|(key, bucket)| (key.clone(), self.now(*bucket, now)))
            .collect();
        levels.sort_by(|a, b| b.1.total_cmp(&a.1));
        // Removing several buckets at a time keeps the average cost low.
        let surplus = self.most / 8 + 1;
        for (place, (key, level)) in levels.into_iter().enumerate() {
            if place >= surplus && level < full {
                break;
            }
            self.buckets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowance = Allowance {
        burst: 3,
        refill: Duration::from_secs(10),
    };

    #[test]
    fn a_burst_then_one_at_a_time() {
        let (mut buckets, start) = (Buckets::new(ALLOWED), Instant::now());
        assert_eq!(
            [(); 3].map(|()| buckets.fail(&"anna", start)),
            [false, false, true]
        );
        assert_eq!(buckets.wait(&"anna", start), Some(Duration::from_secs(10)));
        assert_eq!(buckets.wait(&"berta", start), None, "others go on");
        let later = start + Duration::from_secs(10);
        assert_eq!(buckets.wait(&"anna", later), None);
        assert!(buckets.fail(&"anna", later));
        assert_eq!(
            buckets.wait(&"anna", later + Duration::from_secs(9)),
            Some(Duration::from_secs(1))
        );
        assert_eq!(buckets.wait(&"anna", later + Duration::from_secs(30)), None);
    }

    #[test]
    fn memory_is_bounded_and_those_who_failed_most_stay() {
        let mut buckets = Buckets {
            most: 64,
            ..Buckets::new(ALLOWED)
        };
        let start = Instant::now();
        for _ in 0..3 {
            buckets.fail(&0, start);
        }
        for key in 1..10_000 {
            buckets.fail(&key, start);
            assert!(buckets.buckets.len() <= 64);
        }
        assert!(buckets.wait(&0, start).is_some());
    }
}
