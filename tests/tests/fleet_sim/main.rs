//! `fleet_sim`: real controllers over a simulated store, network and clock, with nodes, machines and
//! people as models, by seed. `docs/testing.md` says what is real and how to repeat a seed.
//!
//! Without arguments it does what continuous integration does: the kept seeds, 2,000 others, the same
//! seeds twice, and the faults that it has to find. It is a program of its own and not one of the test
//! runner, because each share of the work is a process with randomness that follows from the seed.

mod campaign;
mod check;
mod engine;
mod scenario;
mod seed;
mod template;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use self::engine::Bug;

/// Runs simulated installations, and checks in each what must hold.
#[derive(Debug, Parser)]
#[command(name = "fleet_sim")]
struct Args {
    /// Run this seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With --seed: print what happens
    #[arg(long, requires = "seed")]
    trace: bool,
    /// With --seed: print what controllers log, from this level on
    #[arg(long, requires = "seed", value_name = "LEVEL")]
    log: Option<tracing::Level>,
    /// Run so many seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Processes that share the work; one for each core unless given
    #[arg(long)]
    jobs: Option<usize>,
    /// Put this fault in, which has to be found
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// A share of the work, as the other processes are started
    #[arg(long, hide = true, value_delimiter = ',')]
    share: Vec<u64>,
    /// What `cargo test` is given for all programs of tests
    #[arg(hide = true)]
    filters: Vec<String>,
    /// As the filters
    #[arg(long, hide = true)]
    nocapture: bool,
}

fn bug(text: &str) -> Result<Bug, String> {
    let known = Bug::ALL.iter().find(|(name, _)| *name == text);
    let names: Vec<_> = Bug::ALL.iter().map(|(name, _)| *name).collect();
    known
        .map(|(_, bug)| *bug)
        .ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let chosen = |filter: &String| "fleet_sim".contains(filter.as_str());
    if !args.filters.is_empty() && !args.filters.iter().any(chosen) {
        println!("nothing of this is chosen");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.share.is_empty() {
        return seed::work_through(&args.share, args.bug);
    }
    if !campaign::is_seeded() {
        return campaign::again_seeded();
    }
    if let Some(seed) = args.seed {
        return seed::repeat(seed, args.bug, args.trace, args.log);
    }
    let jobs = args.jobs.unwrap_or_else(campaign::cores);
    match args.seeds {
        Some(count) => campaign::many(args.from, count, jobs, args.bug),
        None => campaign::all(jobs),
    }
}
