//! How long it takes from the request that creates a task until its agent has the order.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use foghorn_tests::rest::Rest;

use super::board::Board;
use super::transfers::{DEPLOY, PATIENCE, order};

/// Between one task and the next.
const PAUSE: Duration = Duration::from_millis(40);

/// Milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms", self.p50, self.p99)
    }
}

impl Percentiles {
    /// Of at least one sample.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (samples.len() as f64 * share).ceil() as usize;
            samples[place.clamp(1, samples.len()) - 1]
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

/// Creates a task for each host, one after the other. Counted is from before the request is sent:
/// that is more than from the moment in which the task exists.
pub(crate) fn measure(rest: &Rest, board: &Board, hosts: Range<u32>) -> Result<Percentiles> {
    let mut samples = Vec::new();
    for host in hosts {
        let asked = Instant::now();
        order(rest, host, DEPLOY)?;
        let opened = board.wait_opened(host, PATIENCE)?;
        samples.push(opened.at.duration_since(asked).as_secs_f64() * 1000.0);
        rest.delete(&format!("/fog/task/{}/cancel", opened.task))?
            .ok()?;
        board.wait_recorded(opened.task, PATIENCE)?;
        board.forget(host);
        std::thread::sleep(PAUSE);
    }
    Ok(Percentiles::of(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let of = |count: u32| Percentiles::of((1..=count).map(f64::from).rev().collect());
        assert_eq!((of(1).p50, of(1).p99), (1.0, 1.0));
        assert_eq!((of(100).p50, of(100).p99), (50.0, 99.0));
        assert_eq!((of(500).p50, of(500).p99), (250.0, 495.0));
    }
}
