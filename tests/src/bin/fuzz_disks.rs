//! `make fuzz-disks`: captures and deploys random disks with the real client and compares them with
//! tools that are not ours.
//!
//! Needs root: file systems are used by the kernel, over loop devices. Mounts are in a namespace of
//! its own and end with its last process. Writes `target/bench/fuzz-disks.json`.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use foghorn_tests::fuzz_disks::run::{Campaign, kept_seeds};
use foghorn_tests::fuzz_disks::shape::DiskShape;
use foghorn_tests::tools::find;

/// Tells the command that it is in its own mount namespace.
const INSIDE: &str = "FOGHORN_FUZZ_DISKS_INSIDE";

/// Free memory that a work folder in memory needs.
const ENOUGH: u64 = 4 << 30;

/// Captures and deploys random disks, and compares every file with independent tools.
#[derive(Parser)]
struct Args {
    /// First seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Also the seeds of tests/disk-seeds.txt, first.
    #[arg(long)]
    kept: bool,
    /// Seeds at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Keep the disks of seeds that fail, in target/fuzz-disks.
    #[arg(long)]
    keep: bool,
    /// Print what the seeds stand for, and do nothing.
    #[arg(long)]
    describe: bool,
    /// The report.
    #[arg(long, default_value = "target/bench/fuzz-disks.json")]
    output: PathBuf,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut seeds = if args.kept { kept_seeds() } else { vec![] };
    seeds.extend(args.from..args.from + args.seeds);
    if args.describe {
        for seed in seeds {
            println!("seed {seed}: {}", DiskShape::generate(seed));
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "fuzz-disks mounts file systems over loop devices: run it as root"
    );
    if std::env::var_os(INSIDE).is_none() {
        let error = Command::new(find("unshare")?)
            .arg("--mount")
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec();
        return Err(error).context("could not enter a mount namespace");
    }
    run(&args, seeds)
}

fn run(args: &Args, seeds: Vec<u64>) -> Result<ExitCode> {
    let work = tempfile::Builder::new()
        .prefix("foghorn-fuzz-disks-")
        .tempdir_in(work_folder())?;
    let keep = args.keep.then(|| PathBuf::from("target/fuzz-disks"));
    let total = seeds.len();
    let campaign = Campaign {
        seeds,
        jobs: args.jobs.max(1),
        work: work.path().to_owned(),
        keep,
    };
    let report = campaign.run(|report, failure| {
        if let Some(failure) = failure {
            println!("\nseed {} failed:", failure.seed);
            for fault in &failure.faults {
                println!("  {fault}");
            }
            println!(
                "  again: make fuzz-disks FROM={} SEEDS=1 KEEP=1",
                failure.seed
            );
        }
        print!(
            "\r{} of {total} seeds, {} failed, {:.0} s ",
            report.seeds + 1,
            report.failed.len() + usize::from(failure.is_some()),
            report.seconds
        );
        // A progress line that does not appear is no reason to stop.
        let _ = std::io::stdout().flush();
    })?;
    println!();
    report.print();
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&args.output, serde_json::to_vec_pretty(&report.to_json())?)?;
    println!("written to {}", args.output.display());
    Ok(if report.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// In memory, where there is enough: nothing here has to survive, and disks are only slow.
fn work_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    if free >= ENOUGH {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
