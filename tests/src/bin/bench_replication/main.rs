//! `make bench-replication`: images from node to node over 1 Gbit/s, beside a plain TCP copy.
//!
//! Two storage nodes in two network namespaces (`tests/netlab`), with a real controller. In each run
//! an image that the second node has nothing of is copied there, and as many bytes go from disk to
//! disk over one TCP connection. Then an identical image, and a copy under a limit that changes at
//! a full minute. Prints a table against the promises and writes `target/bench/replication.json`;
//! figures are medians. A promise that is not kept is shown, and judged by people.

mod cap;
mod counter;
mod figures;
mod nodes;
mod tcp;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use foghorn_tests::lab::Lab;

use self::figures::{Figures, Run};
use self::nodes::Nodes;

/// Name of the lab, different from the labs of tests.
const LAB: &str = "fhr";
/// Of the link, in Mbit/s.
const LINK: u64 = 1000;

/// How fast images go from node to node.
#[derive(Parser)]
struct Arguments {
    /// Copies that are measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Size of each image, which nothing compresses.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// A short run that shows that everything works.
    #[arg(long)]
    smoke: bool,
    /// Where the stores are; default: `bench` in the folder of the build.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the report goes; default: `bench/replication.json` in the folder of the build.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Takes one TCP connection at this address and writes what comes to the file.
    #[arg(long, num_args = 2, value_names = ["ADDRESS", "FILE"], hide = true)]
    receive: Option<Vec<String>>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some([address, file]) = arguments.receive.as_deref() {
        return tcp::receive(address, Path::new(file));
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "bench-replication builds network namespaces: run it as root"
    );
    let (runs, mib) = match arguments.smoke {
        true => (1, 16),
        false => (arguments.runs.max(1), arguments.mib),
    };
    let bench = default_folder()?;
    let folder = arguments.folder.unwrap_or_else(|| bench.clone());
    let json = arguments
        .json
        .unwrap_or_else(|| bench.join("replication.json"));
    for folder in [Some(folder.as_path()), json.parent()]
        .into_iter()
        .flatten()
    {
        std::fs::create_dir_all(folder)?;
    }
    let work = tempfile::Builder::new()
        .prefix("replication-")
        .tempdir_in(&folder)?;
    let lab = Lab::up(LAB, 1, &format!("{LINK}mbit"))?;
    let on_server = lab.enter()?;
    let mut figures = Figures::new(mib, LINK);
    {
        let mut nodes = Nodes::start(work.path())?;
        measure(&mut nodes, &lab, &mut figures, (runs, mib), arguments.smoke)?;
    }
    drop(on_server);
    std::fs::write(&json, serde_json::to_vec_pretty(&figures.to_json())?)?;
    print!("{figures}");
    println!("written to {}", json.display());
    Ok(())
}

fn measure(
    nodes: &mut Nodes,
    lab: &Lab,
    figures: &mut Figures,
    (runs, mib): (usize, u64),
    smoke: bool,
) -> Result<()> {
    for number in 1..=runs {
        let image = nodes.new_image(mib)?;
        let copied = nodes.replicate(&image)?;
        let tcp = tcp::copy(lab, &image.disk, image.stored, nodes.folder())?;
        let run = Run { copied, tcp };
        eprintln!("run {number} of {runs}: {run}");
        figures.runs.push(run);
        if number == runs {
            figures.second = Some(nodes.second_pass(&image)?);
        }
        std::fs::remove_file(&image.disk)?;
    }
    // Half of it is stored, and must last over a full minute at the lower rate.
    let image = nodes.new_image(if smoke { mib } else { mib.max(2048) })?;
    figures.cap = Some(cap::measure(nodes, &image, smoke)?);
    Ok(())
}

/// `bench` in the folder that Cargo builds into.
fn default_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("the program is in a folder of the build")?;
    Ok(target.join("bench"))
}
