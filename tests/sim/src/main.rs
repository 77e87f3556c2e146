//! `sim`: multicast sessions on a LAN in memory, by seed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use foghorn_sim::campaign::{self, Failure};
use foghorn_sim::figures;
use foghorn_sim::scenario::{self, Scenario, Summary};
use foghorn_sim::world::World;

/// Runs multicast sessions on a simulated LAN and checks what must hold in each.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// Run this seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With --seed: print what happens
    #[arg(long, requires = "seed")]
    trace: bool,
    /// With --seed: look for a smaller scenario that fails as well, in this many runs
    #[arg(long, requires = "seed", value_name = "RUNS")]
    shrink: Option<u32>,
    /// Run so many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after so many failures
    #[arg(long, default_value_t = 20)]
    failures: usize,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Measure the numbers that are promised, at realistic sizes
    Figures {
        /// Where to write them
        #[arg(long, default_value = "target/bench/sim.json")]
        json: PathBuf,
        /// MiB of payload
        #[arg(long, default_value_t = 256)]
        mib: u32,
    },
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match (args.mode, args.seed) {
        (Some(Mode::Figures { json, mib }), _) => write_figures(&json, mib),
        (None, Some(seed)) => Ok(replay(seed, args.trace, args.shrink)),
        (None, None) => Ok(run(args.from, args.seeds, args.failures)),
    }
}

fn run(from: u64, count: u64, most: usize) -> ExitCode {
    let mut seeds = campaign::kept_seeds();
    seeds.extend(from..from.saturating_add(count));
    let failures = campaign::run(&seeds, campaign::cores(), most, |done| {
        if done > 0 && done.is_multiple_of(100_000) {
            eprintln!("{done} done");
        }
    });
    for failure in &failures {
        print_failure(failure);
    }
    if failures.is_empty() {
        println!("{} seeds, all well", seeds.len());
        return ExitCode::SUCCESS;
    }
    println!(
        "{} seeds failed; add each to tests/sim/seeds.txt with what it found",
        failures.len()
    );
    ExitCode::FAILURE
}

fn replay(seed: u64, trace: bool, shrink: Option<u32>) -> ExitCode {
    let mut scenario = Scenario::generate(seed);
    let mut problems = campaign::problems(&scenario);
    if let (Some(runs), false) = (shrink, problems.is_empty()) {
        scenario = scenario::shrink(&scenario, runs, |candidate| {
            !campaign::problems(candidate).is_empty()
        });
        problems = campaign::problems(&scenario);
    }
    println!("{scenario:#?}");
    if trace {
        World::new(&scenario).traced().run();
    }
    if problems.is_empty() {
        println!("seed {seed}: all well");
        return ExitCode::SUCCESS;
    }
    print_failure(&Failure { seed, problems });
    ExitCode::FAILURE
}

fn print_failure(failure: &Failure) {
    println!(
        "seed {}: {}",
        failure.seed,
        Summary(&Scenario::generate(failure.seed))
    );
    for problem in &failure.problems {
        println!("    {problem}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "writes what was measured; no run depends on it"
)]
fn write_figures(json: &Path, mib: u32) -> Result<ExitCode> {
    let figures = figures::measure(mib);
    let text = serde_json::to_string_pretty(&figures).context("cannot encode the figures")?;
    if let Some(folder) = json.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(json, format!("{text}\n"))
        .with_context(|| format!("cannot write {}", json.display()))?;
    println!("{text}");
    let missed = figures.missed();
    for promise in &missed {
        println!("missed: {promise}");
    }
    Ok(if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
