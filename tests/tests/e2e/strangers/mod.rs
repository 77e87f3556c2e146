//! Strangers without credentials and one read-only user do their worst for a while: the controller
//! stays small, and the others are served.
//!
//! `FOGHORN_STRANGERS_SECONDS` sets how long, `FOGHORN_STRANGERS_REPORT` a file for the figures.

mod attacks;
mod http2;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_tests::stack::{Engine, Options, Stack};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use self::wire::Target;

const MOST_KIB: u64 = 512 << 10;
const SECONDS: u64 = 10;
/// Each with a long text, so that lists are worth an attack.
const HOSTS: u32 = 200;
const TEXT: usize = 20 << 10;
/// Between the requests of those who are to be served.
const PAUSE: Duration = Duration::from_millis(20);

fn seconds() -> Result<u64> {
    match std::env::var("FOGHORN_STRANGERS_SECONDS") {
        Ok(text) => text.parse().context("FOGHORN_STRANGERS_SECONDS"),
        Err(_) => Ok(SECONDS),
    }
}

/// Every attack needs its connections.
fn raise_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

fn prepare(stack: &Stack) -> Result<String> {
    let text = "x".repeat(TEXT);
    for number in 0..HOSTS {
        let mac = format!("52:54:00:00:{:02x}:{:02x}", number >> 8, number & 255);
        let body = json!({"name": format!("host{number}"), "macs": [mac], "description": text});
        stack.rest.post("/fog/host", &body)?.ok()?;
    }
    let reader = json!({"name": "reader", "role": "read-only"});
    let made = stack.rest.post("/foghorn/v1/users", &reader)?.ok()?;
    let token = made["token"].as_str().context("the reader has no token")?;
    Ok(token.to_owned())
}

/// Asks until `stop`, as somebody who wants to work, and returns how long each answer took. All must
/// be right.
fn work(stack: &Stack, stop: &AtomicBool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = stack.rest.get("/fog/host/1")?;
        times.push(begun.elapsed());
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        if times.len() % 50 == 0 {
            let body = json!({"description": format!("changed {}", times.len())});
            stack.rest.put("/fog/host/2/edit", &body)?.ok()?;
        }
        thread::sleep(PAUSE);
    }
    Ok(times)
}

#[test]
fn strangers_and_a_reader_cost_a_bounded_amount() -> Result<()> {
    raise_limit()?;
    let stack = Stack::controller_only(Engine::Embedded, &Options::default())?;
    let token = prepare(&stack)?;
    let before = stack.controller.peak_memory_kib().context("peak memory")?;
    let target = Arc::new(Target::new(&stack, token)?);
    let stop = Arc::new(AtomicBool::new(false));
    let attackers: Vec<_> = attacks::ALL
        .iter()
        .zip(2..)
        .map(|((name, attack), last)| {
            let (target, stop) = (target.clone(), stop.clone());
            thread::Builder::new()
                .name((*name).to_owned())
                .spawn(move || attack(&target, [127, 0, 2, last].into(), &stop))
        })
        .collect::<std::io::Result<_>>()?;
    let (seconds, ended) = (seconds()?, stop.clone());
    let clock = thread::spawn(move || {
        thread::sleep(Duration::from_secs(seconds));
        ended.store(true, Ordering::Relaxed);
    });
    let worked = work(&stack, &stop);
    stop.store(true, Ordering::Relaxed);
    let mut done = serde_json::Map::new();
    for (attacker, (name, _)) in attackers.into_iter().zip(attacks::ALL) {
        let tries = attacker.join().expect("an attack does not panic");
        ensure!(tries > 0, "the attack {name} did nothing");
        done.insert((*name).to_owned(), tries.into());
    }
    clock.join().expect("a clock does not panic");
    let mut times = worked?;
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    let peak = stack.controller.peak_memory_kib().context("peak memory")?;
    let report = json!({
        "seconds": seconds,
        "attacks": done,
        "memory_before_kib": before,
        "memory_peak_kib": peak,
        "others": {"requests": times.len(), "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100)},
    });
    println!("{report}");
    if let Ok(path) = std::env::var("FOGHORN_STRANGERS_REPORT") {
        std::fs::write(&path, report.to_string()).with_context(|| path.clone())?;
    }
    ensure!(peak < MOST_KIB, "the controller took {peak} KiB: {report}");
    stack.wait_ready()
}
