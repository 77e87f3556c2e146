//! `make chart-test`: the Helm chart, from its values to a cluster that loses pods and nodes.
//!
//! Started by `tests/kube/with` in the network of a cluster of its own. Prints how long each step
//! took and what was counted, and writes both as JSON.

mod accepted;
mod chart;
mod cluster;
mod fleet;
mod load;
mod objects;
mod policies;
mod published;
mod registry;
mod release;
mod rendered;
mod report;
mod restore;
mod rules;
mod schemas;
mod secrets;
mod single;
mod tool;
mod versions;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};

use crate::chart::{Chart, HELMS};
use crate::report::Report;
use crate::versions::Deed;

/// Tests the Helm chart.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Folder of the chart.
    #[arg(long, default_value = "charts/foghorn")]
    chart: PathBuf,
    /// Version of Kubernetes that the chart is rendered for.
    #[arg(long, env = "KUBE_VERSION", default_value = "v1.37.2")]
    kubernetes: String,
    /// Do only this part; may be repeated.
    #[arg(long)]
    only: Vec<Part>,
    /// Where the report goes; default: `bench/chart.json` in the folder of the build.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Make load until the input ends: started by the tests themselves.
    #[command(hide = true)]
    Load(load::Orders),
    /// Ask one question: started by the tests themselves.
    #[command(hide = true)]
    Ask(load::Question),
    /// Write the table of tried versions from reports into its page.
    Versions(versions::Orders),
}

/// In the order in which they are done.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Without a cluster: lint, unit tests, alert rules, values that work and values that are refused.
    Rendered,
    /// Without a cluster: signed, in a registry, and back.
    Registry,
    /// What an API server says of the objects.
    Accepted,
    /// One server with everything in it.
    Box,
    /// Several controllers, members of etcd and storage nodes.
    Fleet,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Rendered,
        Self::Registry,
        Self::Accepted,
        Self::Box,
        Self::Fleet,
    ];

    /// What it means for the table of versions, and with which programs.
    fn deed(self) -> Option<(Deed, &'static [&'static str])> {
        match self {
            Self::Rendered => Some((Deed::Rendered, &HELMS)),
            Self::Registry => None,
            Self::Accepted => Some((Deed::Accepted, &[accepted::HELM])),
            Self::Box => Some((Deed::Box, &[single::HELM])),
            Self::Fleet => Some((Deed::Fleet, &[fleet::HELM])),
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Load(orders)) => return load::work(orders),
        Some(Command::Ask(question)) => return load::answer(question),
        Some(Command::Versions(orders)) => return versions::write(orders),
        None => {}
    }
    let json = arguments.json.clone().map_or_else(default_output, Ok)?;
    let scratch = tempfile::tempdir()?;
    let mut report = Report::default();
    let done = run(&arguments, scratch.path(), &mut report);
    print!("{report}");
    if let Some(folder) = json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&json, serde_json::to_vec_pretty(&report.to_json())?)?;
    done
}

fn run(arguments: &Arguments, scratch: &Path, report: &mut Report) -> Result<()> {
    let chart = Chart {
        folder: arguments.chart.clone(),
        kubernetes: arguments.kubernetes.clone(),
    };
    let is_wanted = |part: &Part| arguments.only.is_empty() || arguments.only.contains(part);
    if [Part::Box, Part::Fleet].iter().any(is_wanted) {
        cluster::volumes(scratch)?;
    }
    for part in Part::ALL.into_iter().filter(is_wanted) {
        match part {
            Part::Rendered => rendered::check(&chart, scratch, report)?,
            Part::Registry => registry::check(&chart, scratch, report)?,
            Part::Accepted => accepted::check(&chart, scratch, report)?,
            Part::Box => single::check(&chart, scratch, report)?,
            Part::Fleet => fleet::check(&chart, scratch, report)?,
        }
        if let Some((deed, helms)) = part.deed() {
            report.tried(versions::tried(deed, helms, &chart)?);
        }
    }
    Ok(())
}

fn default_output() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    let target = target.context("the program is in a folder of the build")?;
    Ok(target.join("bench/chart.json"))
}
