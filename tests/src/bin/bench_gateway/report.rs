//! The table against the targets, and the JSON.

use foghorn_tests::stack::Engine;
use serde_json::{Value, json};

use super::load::Seen;

/// One engine of the store.
pub(crate) struct Figures {
    pub(crate) engine: Engine,
    pub(crate) devices: u32,
    pub(crate) polls: Seen,
    /// Seconds of processors that the controller took meanwhile.
    pub(crate) polls_cpu: f64,
    pub(crate) burst: Seen,
    pub(crate) burst_cpu: f64,
    /// Most resident memory of the controller.
    pub(crate) rss_mib: f64,
}

/// Requests a second as fast as possible, at least.
const RPS: f64 = 5_000.0;
/// A poll, connection and all, at most.
const P99_MS: f64 = 20.0;

impl Figures {
    fn rps(&self) -> f64 {
        self.burst.answers() as f64 / self.burst.took.as_secs_f64()
    }

    fn polls_per_second(&self) -> f64 {
        self.polls.answers() as f64 / self.polls.took.as_secs_f64()
    }

    fn to_json(&self) -> Value {
        let (polls, burst) = (&self.polls, &self.burst);
        let whole = &polls.whole_ms;
        json!({
            "engine": engine_name(self.engine),
            "devices": self.devices,
            "rps": rounded(self.rps()),
            "p99_ms": rounded(percentile(whole, 0.99)),
            "not_modified_share": rounded(polls.not_modified as f64 / polls.answers() as f64),
            "cpu_s_per_1000": rounded(per_1000(self.polls_cpu, polls)),
            "p50_ms": rounded(percentile(whole, 0.5)),
            "request_p99_ms": rounded(percentile(&polls.request_ms, 0.99)),
            "polls_per_second": rounded(self.polls_per_second()),
            "burst_p99_ms": rounded(percentile(&burst.whole_ms, 0.99)),
            "burst_cpu_s_per_1000": rounded(per_1000(self.burst_cpu, burst)),
            "errors": polls.errors + burst.errors,
            "rss_mib": rounded(self.rss_mib),
        })
    }
}

/// What a thousand answers cost.
fn per_1000(cpu: f64, seen: &Seen) -> f64 {
    cpu * 1000.0 / seen.answers() as f64
}

fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// The sample below which, or at which, this share of them is.
fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(place.saturating_sub(1).min(last))
        .copied()
        .unwrap_or_default()
}

fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Embedded => "embedded",
        Engine::Etcd => "etcd",
    }
}

pub(crate) fn print(all: &[Figures]) {
    println!(
        "{:<9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9} {:>7}",
        "engine", "devices", "polls/s", "p50 ms", "p99 ms", "req/s", "cpu s/1000", "MiB", "errors"
    );
    for figures in all {
        let whole = &figures.polls.whole_ms;
        let (p99, rps) = (percentile(whole, 0.99), figures.rps());
        println!(
            "{:<9} {:>8} {:>9.1} {:>9.2} {:>9.2} {:>9.1} {:>10.3} {:>9.0} {:>7}{}{}",
            engine_name(figures.engine),
            figures.devices,
            figures.polls_per_second(),
            percentile(whole, 0.5),
            p99,
            rps,
            per_1000(figures.polls_cpu, &figures.polls),
            figures.rss_mib,
            figures.polls.errors + figures.burst.errors,
            missed(p99 <= P99_MS, "p99", P99_MS),
            missed(rps >= RPS, "req/s", RPS),
        );
        for seen in [&figures.polls, &figures.burst] {
            if let Some(trouble) = &seen.trouble {
                println!("          such as: {trouble}");
            }
        }
    }
}

fn missed(is_reached: bool, what: &str, target: f64) -> String {
    if is_reached {
        String::new()
    } else {
        format!("  MISSED: {what} {target}")
    }
}

/// The figures of the first engine, with those of the others beside them.
pub(crate) fn to_json(all: &[Figures]) -> Value {
    let mut engines = all.iter().map(Figures::to_json);
    let mut first = engines.next().unwrap_or_default();
    for further in engines {
        let name = further["engine"].as_str().unwrap_or_default().to_owned();
        first[name] = further;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let of = |count: u32| -> Vec<f64> { (1..=count).map(f64::from).rev().collect() };
        assert_eq!(percentile(&of(1), 0.99), 1.0);
        assert_eq!(percentile(&of(100), 0.5), 50.0);
        assert_eq!(percentile(&of(100), 0.99), 99.0);
        assert_eq!(percentile(&of(500), 0.99), 495.0);
    }
}
