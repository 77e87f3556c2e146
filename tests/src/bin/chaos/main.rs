//! `chaos`: three members of etcd, three controllers, storage nodes on two sites and a room of
//! machines as processes in network namespaces, while a seeded killer breaks them and machines are
//! imaged and objects written all the time. At the end it tells what was lost, stuck, left over or
//! only said to have succeeded; exit code 1 when there was any. Needs root.

mod checker;
mod failover;
mod history;
mod images;
mod judge;
mod killer;
mod machine;
mod part;
mod registers;
mod report;
mod run;
mod settings;
mod topology;
mod trouble;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Parser;
use foghorn_telemetry::interrupt;
use foghorn_tests::lab::Lab;

use crate::run::Plan;

/// Everything fails, again and again, and nothing may be lost.
#[derive(Parser)]
struct Arguments {
    /// How long things break; the judgement comes after.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Chooses what breaks when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Storage nodes, half of them on each of two sites.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=8))]
    nodes: u8,
    /// Machines that are imaged.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=24))]
    clients: u8,
    /// Nothing but kill -9.
    #[arg(long)]
    only_kills: bool,
    /// Name of the network of namespaces: of one name there is one at a time.
    #[arg(long, default_value = "fhx")]
    lab: String,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench/chaos.json")]
    json: PathBuf,
    /// Keeps the logs of all programs in this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        rustix::process::geteuid().is_root(),
        "only root can make networks and disks that fail"
    );
    // A run that is told to stop is judged as it is, and removes what it made.
    interrupt::watch()?;
    let plan = Plan {
        time: Duration::from_secs(arguments.seconds),
        seed: arguments.seed,
        nodes: arguments.nodes.into(),
        clients: arguments.clients.into(),
        only_kills: arguments.only_kills,
    };
    let folder = tempfile::Builder::new()
        .prefix("foghorn-chaos-")
        .tempdir_in(run::place())?;
    let lab = Arc::new(Lab::up(&arguments.lab, plan.machines(), "0")?);
    let (there, place) = (lab.clone(), folder.path().to_owned());
    // In a thread of its own: what ends the network ends the processes whose main thread is in it.
    let work = std::thread::spawn(move || {
        let _there = there.enter()?;
        run::run(there.clone(), &place, &plan)
    });
    let report = work.join().map_err(|_| anyhow!("the run panicked"));
    if let Some(keep) = &arguments.keep {
        keep_logs(folder.path(), keep)?;
    }
    let report = report??;
    report.write(&arguments.json)?;
    println!("{}", report.line());
    if report.is_good() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:#}", report.json()["found"]);
    Ok(ExitCode::FAILURE)
}

fn keep_logs(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let path = file?.path();
        if let Some(name) = path
            .file_name()
            .filter(|_| path.extension().is_some_and(|end| end == "log"))
        {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
