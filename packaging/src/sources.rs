//! Where the compiled programs are.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct Sources {
    /// Folder of the compiled programs.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// The client that machines download: linked statically, so that it runs on any Linux.
    #[arg(long)]
    client: Option<PathBuf>,
}

impl Sources {
    /// # Errors
    /// When it was not compiled.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        built(&self.programs.join(name))
    }

    /// The client; without a static one, that which was compiled with the rest.
    ///
    /// # Errors
    /// When there is neither.
    pub(crate) fn client(&self) -> Result<PathBuf> {
        match &self.client {
            Some(client) => built(client),
            None => self.program("foghorn-client"),
        }
    }

    /// The host service: the static one beside the static client, or else that which was compiled with the rest.
    ///
    /// # Errors
    /// When there is neither.
    pub(crate) fn host(&self) -> Result<PathBuf> {
        let client = self.client.as_deref();
        let beside = client.map(|client| client.with_file_name("foghorn-host"));
        match beside.filter(|path| path.is_file()) {
            Some(host) => Ok(host),
            None => self.program("foghorn-host"),
        }
    }
}

fn built(path: &Path) -> Result<PathBuf> {
    ensure!(
        path.is_file(),
        "{} does not exist: compile it first (`make build client-static`)",
        path.display()
    );
    Ok(path.to_owned())
}
