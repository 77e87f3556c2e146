//! Everything that belongs to an installation and is not a program: man pages, completions, units,
//! examples of configuration. One list ([`layout`]) says what goes where; `make install` copies it,
//! `make deb` makes Debian packages of it. Container images ([`image`]) take their programs from the
//! same list.
//!
//! `dpkg-deb` makes the packages, and not cargo-deb: it is on every Debian, so nothing is compiled
//! for it, and the same list then serves `make install`.

mod deb;
mod elf;
mod image;
mod install;
mod layout;
mod manuals;
mod scripts;
mod sources;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use self::layout::Places;
use self::sources::Sources;

/// Installs Foghorn, or makes packages of it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make Debian packages.
    Deb {
        #[command(flatten)]
        sources: Sources,
        /// Folder for the packages.
        #[arg(long, default_value = "target/deb")]
        out: PathBuf,
        /// Version of the packages; default: that of Foghorn.
        #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
        package_version: String,
        /// Do not compress: for tests.
        #[arg(long)]
        quick: bool,
    },
    /// Make container images, and for each a list of what is in it (CycloneDX).
    Images(image::Options),
    /// Make a container image of a folder: for tests.
    #[command(hide = true)]
    ImageOf(image::FolderOptions),
    /// Copy everything to its place.
    Install {
        #[command(flatten)]
        sources: Sources,
        #[command(flatten)]
        to: To,
    },
    /// Remove what `install` copied, except for changed configuration and all data.
    Uninstall {
        #[command(flatten)]
        to: To,
    },
}

#[derive(Args)]
struct To {
    /// Folder of bin, lib and share.
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// Folder of the configuration's folder.
    #[arg(long, default_value = "/etc")]
    sysconfdir: PathBuf,
    /// Folder in which all of this is put, as if it were the root.
    #[arg(long, default_value = "/")]
    destdir: PathBuf,
}

impl To {
    fn places(&self) -> Places {
        Places::of(self.prefix.clone(), self.sysconfdir.clone())
    }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Deb {
            sources,
            out,
            package_version,
            quick,
        } => deb::make(&sources, &out, &package_version, quick),
        Command::Images(options) => image::make(&options),
        Command::ImageOf(options) => image::make_of_folder(&options),
        Command::Install { sources, to } => install::install(&sources, &to.places(), &to.destdir),
        Command::Uninstall { to } => install::uninstall(&to.places(), &to.destdir),
    }
}
