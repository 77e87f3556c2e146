//! `make bench-multicast`: one file to many machines, side by side with udpcast, UFTP and parallel
//! downloads from nginx.
//!
//! Every system gets the same incompressible bytes to the same machines of a LAN of namespaces
//! (`tests/netlab`), from files in memory into files in memory. Time is from "go" to the last byte
//! of the last receiver; for Foghorn that is from the start of the clients to the end of the last
//! one, so check-in, manifest and the final verification are in it. Prints a table and writes
//! `target/bench/multicast.json`, medians of RUNS (of PEER_RUNS for the peers, when that is less).

mod case;
mod foghorn;
mod peers;
mod report;
mod room;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use foghorn_tests::lab::Lab;

use self::case::{Case, Rate};
use self::report::Row;
use self::room::Room;

/// Name of the lab, different from the labs of tests.
const LAB: &str = "fhm";

/// What to run.
struct Plan {
    cases: Vec<Case>,
    runs: usize,
    /// In so many of the runs peers take part.
    peer_runs: usize,
    mib: u64,
    output: PathBuf,
}

fn main() -> Result<()> {
    let plan = Plan::read()?;
    if let Some(folder) = plan.output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut rows = Vec::new();
    for rate in Rate::ALL {
        let cases: Vec<&Case> = plan.cases.iter().filter(|case| case.rate == rate).collect();
        let Some(clients) = cases.iter().map(|case| case.clients).max() else {
            continue;
        };
        let lab = Lab::up(LAB, clients, rate.words())?;
        let room = Room::open(&lab, plan.mib)?;
        for case in cases {
            rows.push(measure(&room, case, &plan)?);
            // All cases take hours, so intermediate results are kept.
            std::fs::write(
                &plan.output,
                serde_json::to_vec_pretty(&report::to_json(&rows))?,
            )?;
        }
    }
    report::print(&rows);
    println!("written to {}", plan.output.display());
    Ok(())
}

fn measure(room: &Room<'_>, case: &Case, plan: &Plan) -> Result<Row> {
    let mut row = Row::new(case, plan.mib);
    for run in 1..=plan.runs {
        eprintln!("{}: run {run} of {}", case.name(), plan.runs);
        room.set(case)?;
        row.foghorn.push(room.foghorn(case)?);
        if run <= plan.peer_runs {
            for peer in peers::ALL.iter().filter(|peer| peer.takes(case)) {
                // A peer that did not end in time will not do so the next time, and every attempt
                // takes a minute.
                if !row.gave_up(peer.name) {
                    row.add(peer.name, room.peer(peer, case)?);
                }
            }
        }
        room.reset(case)?;
    }
    eprintln!("{}", report::line(&row));
    Ok(row)
}

impl Plan {
    fn read() -> Result<Self> {
        let number = |name: &str, otherwise: u64| -> Result<u64> {
            match std::env::var(name) {
                Err(_) => Ok(otherwise),
                Ok(text) => text
                    .parse()
                    .with_context(|| format!("{name} must be an integer, not {text:?}")),
            }
        };
        let (mut cases, mut smoke, mut peers, mut output) = (Vec::new(), false, true, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--smoke" => smoke = true,
                "--no-peers" => peers = false,
                "--case" => cases.push(
                    words
                        .next()
                        .context("--case needs a name, such as 8x200-1")?,
                ),
                "--output" => {
                    output = Some(PathBuf::from(
                        words.next().context("--output needs a file")?,
                    ))
                }
                other => {
                    bail!(
                        "unknown argument {other:?}; known ones are --smoke, --no-peers, --case NAME and --output FILE"
                    )
                }
            }
        }
        let every = if smoke { case::smoke() } else { case::all() };
        if let Some(unknown) = cases
            .iter()
            .find(|name| every.iter().all(|case| case.name() != **name))
        {
            let names: Vec<String> = every.iter().map(Case::name).collect();
            bail!(
                "unknown case {unknown:?}; known ones are {}",
                names.join(", ")
            );
        }
        let wanted = |case: &Case| cases.is_empty() || cases.contains(&case.name());
        let runs = number("RUNS", if smoke { 1 } else { 5 })?.max(1);
        let peer_runs = if peers { number("PEER_RUNS", runs)? } else { 0 };
        Ok(Self {
            cases: every.into_iter().filter(wanted).collect(),
            runs: usize::try_from(runs)?,
            peer_runs: usize::try_from(peer_runs)?,
            mib: number("MIB", if smoke { 8 } else { 256 })?.max(1),
            output: output.map_or_else(default_output, Ok)?,
        })
    }
}

/// `bench/multicast.json` in the folder that Cargo builds into.
fn default_output() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("the program is in a folder of the build")?;
    Ok(target.join("bench/multicast.json"))
}
