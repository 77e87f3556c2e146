//! `make bench-rest`: the REST API under load, on the embedded store and on a real etcd, at two
//! sizes of a fleet.
//!
//! wrk sends the requests, on the same machine. Prints a table against the targets and writes
//! `target/bench/rest.json`. `--smoke` does the same with little of everything, to see that it
//! works; its figures mean nothing.

mod fill;
mod load;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use foghorn_tests::stack::{Engine, Options, Stack};

use load::{Load, cases};
use report::Entry;

/// How much of everything.
struct Plan {
    duration: Duration,
    connections: u32,
    /// Fleets: hosts, and how many of them have an active task.
    small: Fleet,
    large: Fleet,
    /// Where the figures are written.
    output: PathBuf,
}

#[derive(Clone, Copy)]
struct Fleet {
    hosts: u32,
    tasks: u32,
}

/// Loading a hundred thousand hosts is to take 10 s; ten times that is given up.
const READY_WITHIN: Duration = Duration::from_secs(100);

fn main() -> Result<()> {
    let plan = Plan::read()?;
    let folder = plan.output.parent().context("the file has a folder")?;
    std::fs::create_dir_all(folder)?;
    let mut entries = Vec::new();
    for engine in [Engine::Embedded, Engine::Etcd] {
        for (fleet, is_large) in [(plan.small, false), (plan.large, true)] {
            entries.push(measure(engine, fleet, is_large, &plan, folder)?);
        }
    }
    report::print(&entries);
    std::fs::write(
        &plan.output,
        serde_json::to_vec_pretty(&report::to_json(&entries))?,
    )?;
    println!("written to {}", plan.output.display());
    Ok(())
}

impl Plan {
    fn read() -> Result<Self> {
        let number = |name: &str, otherwise: u32| -> Result<u32> {
            match std::env::var(name) {
                Err(_) => Ok(otherwise),
                Ok(text) => text
                    .parse()
                    .with_context(|| format!("{name} must be an integer, not {text:?}")),
            }
        };
        let (mut smoke, mut output) = (false, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--smoke" => smoke = true,
                "--output" => {
                    output = Some(PathBuf::from(
                        words.next().context("--output needs a file")?,
                    ))
                }
                other => {
                    bail!("unknown argument {other:?}; known ones are --smoke and --output FILE")
                }
            }
        }
        let (seconds, small, large) = if smoke {
            (1, 200, 300)
        } else {
            (15, 1_000, 100_000)
        };
        let (few, many) = if smoke { (5, 10) } else { (20, 5_000) };
        Ok(Self {
            duration: Duration::from_secs(number("DURATION", seconds)?.into()),
            connections: number("CONNECTIONS", 8)?,
            small: Fleet {
                hosts: number("HOSTS", small)?,
                tasks: few,
            },
            large: Fleet {
                hosts: number("LARGE_HOSTS", large)?,
                tasks: many,
            },
            output: output.map_or_else(default_output, Ok)?,
        })
    }
}

/// `bench/rest.json` in the folder that Cargo builds into.
fn default_output() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("the program is in a folder of the build")?;
    Ok(target.join("bench/rest.json"))
}

/// Fills a fresh installation, starts its controller again, and measures.
fn measure(
    engine: Engine,
    fleet: Fleet,
    is_large: bool,
    plan: &Plan,
    folder: &Path,
) -> Result<Entry> {
    let name = report::engine_name(engine);
    eprintln!("{name}, {} hosts: filling", fleet.hosts);
    // Beside the figures, so on a disk: a temporary folder may be memory, where durable costs
    // nothing.
    let options = Options {
        plain_http: true,
        folder: Some(folder.to_owned()),
        ..Options::default()
    };
    let mut stack = Stack::controller_only(engine, &options)?;
    let started = Instant::now();
    fill::hosts(&stack.rest, fleet.hosts)?;
    fill::tasks(&stack.rest, fleet.tasks)?;
    eprintln!(
        "{name}, {} hosts: filled in {:.1} s",
        fleet.hosts,
        started.elapsed().as_secs_f64()
    );
    stack.controller.stop(READY_WITHIN)?;
    let ready = start_again(&mut stack)?;
    let load = Load {
        rest: &stack.rest,
        folder: stack.folder(),
        duration: plan.duration,
        connections: plan.connections,
    };
    let mut measured = Vec::new();
    for case in cases(fleet.hosts, is_large) {
        eprintln!("{name}, {} hosts: {}", fleet.hosts, case.name);
        measured.push(load.run(&case)?);
    }
    let peak = stack
        .controller
        .peak_memory_kib()
        .context("the controller's memory")?;
    stack.controller.stop(READY_WITHIN)?;
    Ok(Entry {
        engine,
        hosts: fleet.hosts,
        cases: measured,
        ready,
        rss_mib: peak as f64 / 1024.0,
    })
}

/// Time from the start of the process until it says that it is ready.
fn start_again(stack: &mut Stack) -> Result<Duration> {
    let started = Instant::now();
    stack.restart_controller()?;
    Ok(started.elapsed())
}
