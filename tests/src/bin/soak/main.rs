//! `soak`: everything at once for a while, on each engine: writers whose answers are recorded,
//! captures and deploys, strangers, kills, a full disk, an older backup, a wrong clock; then quiet
//! time, in which memory must stay as it is. Prints one line; exit code 1 when something was lost,
//! doubled or dropped, or memory grew. Needs root.

mod imaging;
mod memory;
mod run;
mod strangers;
mod trouble;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use foghorn_tests::stack::Engine;
use foghorn_tests::wrong_clock;

use crate::run::{Outcome, Plan};

/// Everything at once, for a while.
#[derive(Parser)]
struct Arguments {
    /// Time for both engines together.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Only this engine.
    #[arg(long, value_parser = ["embedded", "etcd"])]
    engine: Option<String>,
    /// Chooses what is killed when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench/soak.json")]
    json: PathBuf,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        rustix::process::geteuid().is_root(),
        "only root can mount the small disk that is filled"
    );
    if std::env::var_os(wrong_clock::CLOCK_FILE).is_none() {
        return with_clock();
    }
    let engines = match arguments.engine.as_deref() {
        Some("embedded") => vec![Engine::Embedded],
        Some(_) => vec![Engine::Etcd],
        None => vec![Engine::Embedded, Engine::Etcd],
    };
    let share = u64::try_from(engines.len()).unwrap_or(1);
    let plan = Plan {
        time: Duration::from_secs(arguments.seconds / share),
        seed: arguments.seed,
    };
    let mut outcomes = Vec::new();
    for engine in engines {
        outcomes.push(run::run(engine, &plan).with_context(|| format!("{engine:?}"))?);
    }
    if let Some(folder) = arguments.json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&arguments.json, serde_json::to_vec_pretty(&outcomes)?)?;
    outcomes
        .iter()
        .for_each(|outcome| println!("{}", outcome.line()));
    let good = outcomes.iter().all(Outcome::is_good);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Starts itself again with the library that moves the controller's clock.
fn with_clock() -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let library = wrong_clock::build(folder.path())?;
    let file = folder.path().join("clock");
    std::fs::write(&file, "0")?;
    let status = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(wrong_clock::environment(&library, &file, "foghorn-control"))
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
