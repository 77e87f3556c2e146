//! The table against the targets, and the JSON.

use std::time::Duration;

use foghorn_tests::stack::Engine;
use serde_json::{Value, json};

use crate::load::Measured;

/// One engine at one size.
pub(crate) struct Entry {
    pub(crate) engine: Engine,
    pub(crate) hosts: u32,
    pub(crate) cases: Vec<Measured>,
    pub(crate) ready: Duration,
    /// Most resident memory of the controller, from its start to the end of the load.
    pub(crate) rss_mib: f64,
}

/// What is to be reached.
#[derive(Clone, Copy)]
enum Target {
    Rps(f64),
    P99Ms(f64),
    None,
}

const READY_S: f64 = 10.0;
const RSS_MIB: f64 = 1024.0;
/// From here on the targets are those of a large fleet.
const LARGE: u32 = 10_000;

pub(crate) fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Embedded => "embedded",
        Engine::Etcd => "etcd",
    }
}

fn target(engine: Engine, hosts: u32, case: &str) -> Target {
    match case {
        "host_page" | "search_name" | "search_mac" => Target::P99Ms(50.0),
        _ if hosts >= LARGE => Target::None,
        "host_get" => Target::Rps(10_000.0),
        "host_list" => Target::Rps(200.0),
        "task_active" => Target::Rps(4_000.0),
        "host_create" if engine == Engine::Embedded => Target::Rps(2_000.0),
        "host_create" => Target::Rps(1_000.0),
        _ => Target::None,
    }
}

/// Requests a second of a FOG server (Apache, PHP 8.2 with opcache, MariaDB) at 1,000 hosts on a
/// machine like this one.
fn fog(hosts: u32, case: &str) -> Option<f64> {
    match case {
        _ if hosts >= LARGE => None,
        "host_get" => Some(78.9),
        "host_list" => Some(2.1),
        "task_active" => Some(36.3),
        "host_create" => Some(61.0),
        _ => None,
    }
}

pub(crate) fn print(entries: &[Entry]) {
    println!(
        "{:<9} {:>7}  {:<12} {:>10} {:>9} {:>9} {:>6}  {:<18} {:>8}",
        "engine", "hosts", "case", "req/s", "p50 ms", "p99 ms", "errors", "target", "FOG/s"
    );
    for entry in entries {
        let name = engine_name(entry.engine);
        for case in &entry.cases {
            let (wanted, reached) = match target(entry.engine, entry.hosts, case.name) {
                Target::Rps(least) => (format!(">= {least} /s"), Some(case.rps >= least)),
                Target::P99Ms(most) => (format!("p99 <= {most} ms"), Some(case.p99_ms <= most)),
                Target::None => (String::new(), None),
            };
            let fog = fog(entry.hosts, case.name).map_or(String::new(), |rps| rps.to_string());
            println!(
                "{name:<9} {:>7}  {:<12} {:>10.1} {:>9.2} {:>9.2} {:>6}  {:<18} {fog:>8}",
                entry.hosts,
                case.name,
                case.rps,
                case.p50_ms,
                case.p99_ms,
                case.errors,
                verdict(&wanted, reached)
            );
        }
        let ready = entry.ready.as_secs_f64();
        println!(
            "{name:<9} {:>7}  ready in {ready:.2} s{}",
            entry.hosts,
            failed(ready <= READY_S)
        );
        println!(
            "{name:<9} {:>7}  memory {:.0} MiB{}",
            entry.hosts,
            entry.rss_mib,
            failed(entry.rss_mib <= RSS_MIB)
        );
    }
}

fn verdict(wanted: &str, reached: Option<bool>) -> String {
    match reached {
        None => String::new(),
        Some(true) => wanted.to_owned(),
        Some(false) => format!("{wanted} MISSED"),
    }
}

fn failed(reached: bool) -> &'static str {
    if reached { "" } else { "  MISSED" }
}

pub(crate) fn to_json(entries: &[Entry]) -> Value {
    let hundredths = |number: f64| (number * 100.0).round() / 100.0;
    let case = |case: &Measured| {
        json!({
            "name": case.name,
            "rps": hundredths(case.rps),
            "p50_ms": hundredths(case.p50_ms),
            "p99_ms": hundredths(case.p99_ms),
            "errors": case.errors,
        })
    };
    let entry = |entry: &Entry| {
        json!({
            "engine": engine_name(entry.engine),
            "hosts": entry.hosts,
            "cases": entry.cases.iter().map(case).collect::<Vec<_>>(),
            "ready_s": hundredths(entry.ready.as_secs_f64()),
            "rss_mib": hundredths(entry.rss_mib),
        })
    };
    entries.iter().map(entry).collect()
}
