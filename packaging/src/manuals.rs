//! Man pages and completions, from the definitions that the programs themselves read their
//! arguments with.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::layout::Package;

/// A page of the manual.
pub(crate) struct Page {
    /// Such as `foghorn-image-deploy.1.gz`.
    pub(crate) name: String,
    pub(crate) packed: Vec<u8>,
}

/// A file that a shell reads.
pub(crate) struct Script {
    pub(crate) shell: &'static str,
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
}

fn command(package: Package) -> Command {
    match package {
        Package::Controller => foghorn_controller::args::Arguments::command(),
        Package::Agent => foghorn_agent::args::Cli::command(),
        Package::CommandLine => foghorn_cli::args::Cli::command(),
        Package::Client => foghorn_client::args::Cli::command(),
        Package::Host => foghorn_client::host::args::Cli::command(),
    }
}

/// One page for the program and one for each of its commands.
///
/// # Errors
/// Never, as memory takes everything.
pub(crate) fn pages(package: Package) -> Result<Vec<Page>> {
    let mut command = command(package).disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, package.section(), &mut pages)?;
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(pages)
}

fn add_pages(command: &Command, section: &str, pages: &mut Vec<Page>) -> Result<()> {
    for shown in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        add_pages(shown, section, pages)?;
    }
    let page = Man::new(command.clone()).section(section);
    let mut text = Vec::new();
    page.render(&mut text)
        .context("could not make a man page")?;
    pages.push(Page {
        name: format!("{}.gz", page.get_filename()),
        packed: pack(&text)?,
    });
    Ok(())
}

/// As `gzip -9n`: without a time, so that the same text gives the same bytes.
///
/// # Errors
/// Never, as memory takes everything.
pub(crate) fn pack(text: &[u8]) -> Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text)?;
    Ok(packer.finish()?)
}

pub(crate) fn completions(package: Package) -> Vec<Script> {
    let name = package.name();
    let script = |shell: &'static str, kind: Shell, file: String| {
        let mut text = Vec::new();
        clap_complete::generate(kind, &mut command(package), name, &mut text);
        Script {
            shell,
            name: file,
            text,
        }
    };
    vec![
        script("bash", Shell::Bash, name.to_owned()),
        script("zsh", Shell::Zsh, format!("_{name}")),
        script("fish", Shell::Fish, format!("{name}.fish")),
    ]
}
