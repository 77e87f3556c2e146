//! Many seeds, in several processes, and the command that repeats one that has failed.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::engine::Bug;

/// Seeds that failed before; always run.
const KEPT: &str = include_str!("seeds.txt");
/// Seeds of each run of the tests.
const SEEDS: u64 = 2_000;
/// Of these, so many are run twice, to see that they do the same.
const TWICE: u64 = 24;
/// Seeds in which a fault that was put in has to be found: one in twenty finds the rarest. So many are run at a time.
const FINDS_WITHIN: u64 = 400;
const FINDS_AT_ONCE: usize = 40;
/// Seeds that one process takes at a time.
const SHARE: usize = 25;
/// Set for processes whose randomness follows from seeds.
const SEEDED: &str = "FLEET_SIM_SEEDED";

/// The line of one seed.
struct Line {
    trace: String,
    ended_at: u64,
    complete: u64,
    other: u64,
    problem: String,
}

pub(crate) fn is_seeded() -> bool {
    env::var_os(SEEDED).is_some()
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Starts this program again, with randomness that follows from seeds.
pub(crate) fn again_seeded() -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let library = build(folder.path())?;
    let status = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("LD_PRELOAD", library)
        .env(SEEDED, "1")
        .status()?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn build(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fleet_sim/random.c");
    let library = folder.join("random.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&library, &source])
        .status()
        .context("could not start cc (Debian: gcc)")?;
    ensure!(built.success(), "cc could not build {}", source.display());
    Ok(library)
}

/// Seeds of [`KEPT`]: one per line, with a remark behind `#`.
fn kept() -> Vec<u64> {
    let number = |line: &str| line.split('#').next()?.trim().parse().ok();
    KEPT.lines().filter_map(number).collect()
}

/// What continuous integration runs.
pub(crate) fn all(jobs: usize) -> Result<ExitCode> {
    let mut seeds = kept();
    seeds.extend(0..SEEDS);
    let first = told(&seeds, jobs, None)?;
    if !all_well(&first) {
        return Ok(ExitCode::FAILURE);
    }
    // Each in a process of its own, as one that failed is repeated: a process that has run other seeds
    // before may choose another order here and there.
    let seeds: Vec<u64> = (0..TWICE).collect();
    let first = alone(&seeds)?;
    let second = alone(&seeds)?;
    for (seed, line) in &second {
        let before = first.get(seed).map(|line| &line.trace);
        ensure!(
            before == Some(&line.trace),
            "seed {seed} did something else the second time"
        );
    }
    println!("{TWICE} seeds did the same twice");
    for (name, bug) in Bug::ALL {
        println!(
            "the fault {name} is found by {}",
            finding((name, bug), jobs)?
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The first seed that finds a fault which was put in, and what it says.
fn finding((name, bug): (&'static str, Bug), jobs: usize) -> Result<String> {
    let seeds: Vec<u64> = (0..FINDS_WITHIN).collect();
    for some in seeds.chunks(FINDS_AT_ONCE) {
        let told = told(some, jobs, Some((name, bug)))?;
        if let Some((seed, line)) = told.iter().find(|(_, line)| !line.problem.is_empty()) {
            return Ok(format!("seed {seed}: {}", line.problem));
        }
    }
    bail!("the fault {name} was put in, and no seed of {FINDS_WITHIN} found it")
}

/// Runs seeds from one on.
pub(crate) fn many(from: u64, count: u64, jobs: usize, bug: Option<Bug>) -> Result<ExitCode> {
    let mut seeds = kept();
    seeds.extend(from..from.saturating_add(count));
    let named = bug.and_then(|bug| Bug::ALL.iter().find(|(_, other)| *other == bug).copied());
    let lines = told(&seeds, jobs, named)?;
    Ok(match all_well(&lines) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn all_well(lines: &BTreeMap<u64, Line>) -> bool {
    let bad: Vec<_> = lines
        .iter()
        .filter(|(_, line)| !line.problem.is_empty())
        .collect();
    for (seed, line) in &bad {
        println!("seed {seed}: {}", line.problem);
    }
    if bad.is_empty() {
        return true;
    }
    println!(
        "{} seeds failed; replay one with `cargo test --workspace --test fleet_sim -- --seed N --trace`, \
         and keep it in tests/tests/fleet_sim/seeds.txt with what it found",
        bad.len()
    );
    false
}

/// Runs each seed in a process of its own.
fn alone(seeds: &[u64]) -> Result<BTreeMap<u64, Line>> {
    let mut lines = BTreeMap::new();
    for seed in seeds {
        lines.extend(one_share(&[*seed], None)?);
    }
    Ok(lines)
}

/// Runs the seeds in several processes, and says how it went.
fn told(
    seeds: &[u64],
    jobs: usize,
    bug: Option<(&'static str, Bug)>,
) -> Result<BTreeMap<u64, Line>> {
    let begun = Instant::now();
    let next = std::sync::Mutex::new(seeds.chunks(SHARE));
    let lines = std::thread::scope(|scope| {
        let worker = || -> Result<BTreeMap<u64, Line>> {
            let mut lines = BTreeMap::new();
            loop {
                let share = match next.lock() {
                    Ok(mut next) => next.next(),
                    Err(_) => None,
                };
                let Some(share) = share else {
                    return Ok(lines);
                };
                lines.extend(one_share(share, bug)?);
            }
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            all.extend(
                worker
                    .join()
                    .map_err(|_| anyhow::anyhow!("a worker panicked"))??,
            );
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    let sum = |number: fn(&Line) -> u64| lines.values().map(number).sum::<u64>();
    println!(
        "{} seeds in {:.1} s ({:.0} ms each on {jobs} cores): {} tasks complete, {} ended otherwise, \
         {} virtual seconds",
        lines.len(),
        begun.elapsed().as_secs_f64(),
        begun.elapsed().as_millis() as f64 * jobs as f64 / lines.len().max(1) as f64,
        sum(|line| line.complete),
        sum(|line| line.other),
        sum(|line| line.ended_at) / 1000,
    );
    Ok(lines)
}

fn one_share(seeds: &[u64], bug: Option<(&'static str, Bug)>) -> Result<BTreeMap<u64, Line>> {
    let words: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let mut command = Command::new(env::current_exe()?);
    command.args(["--share", &words.join(",")]);
    if let Some((name, _)) = bug {
        command.args(["--bug", name]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: BTreeMap<u64, Line> = text.lines().filter_map(line).collect();
    if let Some(missing) = seeds.iter().find(|seed| !lines.contains_key(seed)) {
        bail!("the process of seed {missing} ended ({})", output.status);
    }
    Ok(lines)
}

fn line(text: &str) -> Option<(u64, Line)> {
    let mut words = text.split('\t');
    let seed = words.next()?.parse().ok()?;
    let trace = words.next()?.to_owned();
    let ended_at = words.next()?.parse().ok()?;
    let _commits = words.next()?;
    Some((
        seed,
        Line {
            trace,
            ended_at,
            complete: words.next()?.parse().ok()?,
            other: words.next()?.parse().ok()?,
            problem: words.next()?.to_owned(),
        },
    ))
}
