//! `make bench-image`: capture and deploy at 1 Gbit/s, side by side with partclone, zstd, curl and
//! nginx in one run.
//!
//! Needs root: client and storage node are two network namespaces joined by a shaped link
//! (`tests/netlab`). Prints a table and writes `target/bench/image.json`. Times are those of whole
//! client processes; every figure is a median.

mod disk;
mod figures;
mod peer;
mod runs;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Name of the lab, different from the labs of tests.
const LAB: &str = "fhb";

fn main() -> Result<()> {
    let inside = std::env::args().any(|word| word == "--inside");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace")?
        .to_owned();
    if inside {
        return inside_the_server(&root);
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "bench-image builds network namespaces: run it as root"
    );
    let lab = Lab::up(&root, "1gbit")?;
    let status = Command::new("ip")
        .args(["netns", "exec", &format!("{LAB}-srv")])
        .arg(std::env::current_exe()?)
        .arg("--inside")
        .args(std::env::args().skip(1))
        .status()?;
    drop(lab);
    ensure!(status.success(), "the benchmark failed");
    Ok(())
}

/// The namespaces; gone when dropped.
struct Lab {
    script: PathBuf,
}

impl Lab {
    fn up(root: &Path, rate: &str) -> Result<Self> {
        let lab = Self {
            script: root.join("tests/netlab"),
        };
        lab.run(&["down"])?;
        lab.run(&["up", "1", rate])?;
        Ok(lab)
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        let status = Command::new(&self.script)
            .args(words)
            .env("NETLAB", LAB)
            .status()?;
        ensure!(status.success(), "netlab {} failed", words.join(" "));
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down"]) {
            eprintln!("{error}");
        }
    }
}

/// The words before a command that is to run on the client's side of the link.
fn on_client(command: &Command) -> Command {
    let mut wrapped = Command::new("ip");
    wrapped
        .args(["netns", "exec", &format!("{LAB}-c1")])
        .arg(command.get_program())
        .args(command.get_args());
    // The wrapper replaces itself with the program, so its process id is the one to measure and to
    // stop.
    wrapped.process_group(0);
    wrapped
}

fn inside_the_server(root: &Path) -> Result<()> {
    let runs = std::env::var("RUNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out = target.join("bench");
    std::fs::create_dir_all(&out)?;
    let work = tempfile::Builder::new().prefix("image-").tempdir_in(&out)?;
    let figures = runs::measure(work.path(), runs)?;
    figures::print(&figures);
    let file = out.join("image.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&figures.to_json())?)?;
    println!("written to {}", file.display());
    Ok(())
}
