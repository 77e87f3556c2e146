//! How fast chunks may come or go, of all copies together. It may change at any time, and what waits
//! goes on at the new rate.

use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

/// A rate that several transfers share, first come, first served.
pub(super) struct Limit {
    /// In bytes per second; 0: none.
    rate: watch::Sender<u64>,
    line: Mutex<Debt>,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            rate: watch::Sender::new(0),
            line: Mutex::new(Debt::default()),
        }
    }
}

impl Limit {
    pub(super) fn set(&self, rate: u64) {
        self.rate.send_if_modified(|present| {
            let differs = *present != rate;
            *present = rate;
            differs
        });
    }

    /// Waits until `bytes` may be moved.
    pub(super) async fn take(&self, bytes: u64) {
        let mut changes = self.rate.subscribe();
        let mut debt = self.line.lock().await;
        loop {
            let rate = *changes.borrow_and_update();
            match debt.ask(bytes, rate, Instant::now()) {
                Ok(()) => return,
                // Ends early when the rate changes; the sender lives as long as this.
                Err(wait) => drop(timeout(wait, changes.changed()).await),
            }
        }
    }
}

/// What was moved and is not paid for by time yet.
#[derive(Debug, Default)]
struct Debt {
    owed: f64,
    rate: u64,
    since: Option<Instant>,
}

impl Debt {
    /// Lets `bytes` through when nothing is owed at `now`; otherwise says how long that will take.
    fn ask(&mut self, bytes: u64, rate: u64, now: Instant) -> Result<(), Duration> {
        if let Some(since) = self.since {
            let passed = now.saturating_duration_since(since).as_secs_f64();
            self.owed = (self.owed - passed * self.rate as f64).max(0.0);
        }
        (self.since, self.rate) = (Some(now), rate);
        if rate == 0 {
            self.owed = 0.0;
            return Ok(());
        }
        // Less than a byte is a matter of rounding.
        if self.owed < 1.0 {
            self.owed += bytes as f64;
            return Ok(());
        }
        let wait = Duration::from_secs_f64(self.owed / rate as f64);
        Err(wait.clamp(Duration::from_millis(1), Duration::from_secs(3600)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const CHUNK: u64 = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn all_together_keep_to_the_rate() {
        let limit = Arc::new(Limit::default());
        limit.set(10 * CHUNK);
        let started = Instant::now();
        let each = (0..4).map(|_| {
            let limit = limit.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    limit.take(CHUNK).await;
                }
            })
        });
        for one in each.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        let took = started.elapsed().as_secs_f64();
        assert!((9.5..10.5).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_takes_effect_on_what_waits() {
        let limit = Arc::new(Limit::default());
        limit.set(1);
        limit.take(CHUNK).await;
        let started = Instant::now();
        let waiting = tokio::spawn({
            let limit = limit.clone();
            async move { limit.take(CHUNK).await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waiting.is_finished(), "a chunk takes days at this rate");
        limit.set(0);
        waiting.await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(6));
    }
}
