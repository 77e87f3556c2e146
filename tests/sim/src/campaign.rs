//! Many seeds, on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::check;
use crate::scenario::Scenario;

/// Seeds that failed before; always run.
pub const KEPT: &str = include_str!("../seeds.txt");

/// A seed and what went wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `sim --seed N --trace` shows it.
    pub seed: u64,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// Seeds of [`KEPT`]: one per line, with a remark behind `#`.
#[must_use]
pub fn kept_seeds() -> Vec<u64> {
    KEPT.lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok())
        .collect()
}

/// What is wrong with a run of this scenario; a panic of the machines is caught and told as well.
#[must_use]
pub fn problems(scenario: &Scenario) -> Vec<String> {
    match catch_unwind(AssertUnwindSafe(|| check::problems(scenario))) {
        Ok(problems) => problems,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no text");
            vec![format!("panic: {text}")]
        }
    }
}

/// Runs the seeds on `threads` threads and returns those that failed, by seed; stops early after
/// `most` failures.
///
/// `progress` is told now and then how many are done.
#[expect(
    clippy::disallowed_methods,
    reason = "each seed runs on one thread and knows nothing of the others"
)]
pub fn run(
    seeds: &[u64],
    threads: usize,
    most: usize,
    progress: impl Fn(u64) + Sync,
) -> Vec<Failure> {
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&seed) = seeds.get(index as usize) else {
                        return;
                    };
                    let problems = problems(&Scenario::generate(seed));
                    if !problems.is_empty() {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(Failure { seed, problems });
                        if failures.len() >= most {
                            next.store(seeds.len() as u64, Ordering::Relaxed);
                        }
                    }
                    if index.is_multiple_of(1000) {
                        progress(index);
                    }
                }
            });
        }
    });
    let mut failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|failure| failure.seed);
    failures
}

/// Cores of this machine.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
