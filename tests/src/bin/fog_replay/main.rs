//! `fog-replay FOLDER`: sends recorded requests of a FOG server to a fresh Foghorn and compares the
//! answers.
//!
//! Every file of the folder starts from the state after `00-setup.json`, on a controller of its
//! own. What may differ is written in `tests/fog-deviations.toml`; everything else that differs is
//! printed, one line each, and the program ends with 1.

mod apart;
mod compare;
mod deviations;
mod http;
mod own_words;
mod recording;
mod replay;
mod server;
mod steer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use foghorn_tests::stack::Engine;

use self::deviations::Deviations;
use self::recording::Folder;

/// Replays recordings of a FOG server against Foghorn and compares.
#[derive(Parser)]
struct Arguments {
    /// Folder with recordings: JSON files, each an array of {id, request, response}.
    folder: PathBuf,
    /// State store of the controller.
    #[arg(long, value_enum, default_value_t = Store::Embedded)]
    engine: Store,
    /// Only files whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Print every deviation with its rule, too.
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Store {
    Embedded,
    Etcd,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let folder = Folder::load(
        &arguments.folder,
        &workspace.join("../shared/fog-recordings"),
        &arguments.only,
    )?;
    let rules = Deviations::load(&workspace.join("tests/fog-deviations.toml"))?;
    let engine = match arguments.engine {
        Store::Embedded => Engine::Embedded,
        Store::Etcd => Engine::Etcd,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let tally = runtime.block_on(replay::run(&folder, &rules, engine, arguments.verbose))?;
    tally.print(&rules);
    Ok(if tally.different == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
