//! `make bench-failover`: how long it takes until nobody misses a controller.
//!
//! Three controllers on an etcd, a balancer that follows `/readyz`, a storage node. In each round the
//! controller that has the link of the node is killed (`kill -9`), told to stop (SIGTERM) or stopped
//! in the middle (SIGSTOP), while a client reads and writes through the balancer. Prints a table
//! against the promises and writes `target/bench/failover.json`; a promise that is not kept is shown,
//! and judged by people: other work on the machine counts, too.

mod figures;
mod round;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use foghorn_tests::three::Three;

use crate::figures::{Figures, Kind};
use crate::round::{Client, round};

/// How long it takes until nobody misses a controller.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each kind.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Only one kind of rounds: kill, term or stop.
    #[arg(long)]
    only: Option<String>,
    /// Where the report goes; default: `bench/failover.json` in the folder of the build.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let json = arguments.json.map_or_else(default_output, Ok)?;
    let mut three = Three::start()?;
    let client = Client::new(&three)?;
    let mut figures = Figures::default();
    for number in 0..arguments.rounds {
        let is_wanted = |kind: &Kind| {
            arguments
                .only
                .as_ref()
                .is_none_or(|only| kind.name() == only)
        };
        for kind in Kind::ALL.into_iter().filter(is_wanted) {
            let took = round(&mut three, &client, kind)
                .with_context(|| format!("{} {number}", kind.name()))?;
            println!("{:>4} {number:>3}: {took}", kind.name());
            figures.add(kind, took);
            three.wait_whole()?;
            // What each has noticed of the round before is over.
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    if let Some(folder) = json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&json, serde_json::to_vec_pretty(&figures.to_json())?)?;
    print!("{figures}");
    println!("written to {}", json.display());
    Ok(())
}

fn default_output() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    let target = target.context("the program is in a folder of the build")?;
    Ok(target.join("bench/failover.json"))
}
