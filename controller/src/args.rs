//! The command line of `foghorn-controller`. In the library, because its manual is made from it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

#[derive(Parser)]
#[command(
    name = "foghorn-controller",
    version,
    about = "The controller of a Foghorn fleet"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or SIGINT. Prints the first user and tokens until they are used.
    Run(Options),
    /// Create the first user and tokens, or print them again if nobody has used them, and exit.
    FirstRun(Options),
    /// Make new credentials for an administrator, print them once, and exit. With the embedded
    /// store the controller must be stopped.
    ResetAdmin {
        /// The user; created if it does not exist.
        #[arg(long, default_value = "fog")]
        user: String,
        #[command(flatten)]
        options: Options,
    },
    /// Put a backup back and exit. The controller must be stopped; what is replaced is kept.
    Restore {
        /// Folder of the backup, such as DATA_DIR/backups/2026-11-29T030000Z-scheduled.
        backup: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// The whole state as one encrypted file, without a running controller: to move to etcd or to
    /// another machine.
    #[command(subcommand)]
    State(StateCommand),
}

#[derive(Subcommand)]
pub enum StateCommand {
    /// Write the state and the certificate authority into a new file and exit. With the embedded
    /// store the controller must be stopped; `foghorn state export` does it while it runs.
    Export {
        /// The new file.
        file: PathBuf,
        /// File whose first line is the passphrase, at least 8 characters; `-` is standard input.
        #[arg(long)]
        passphrase_file: PathBuf,
        /// Leave the certificate authority out.
        #[arg(long)]
        without_authority: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Put the state of a file into the store and exit. Every controller of the store must be
    /// stopped. The file is checked before anything is changed.
    Import {
        /// What an export has written.
        file: PathBuf,
        /// File whose first line is the passphrase; `-` is standard input.
        #[arg(long)]
        passphrase_file: PathBuf,
        /// Replace what the store holds. Without it, only a store on which nothing has been done yet
        /// is filled.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Args)]
pub struct Options {
    /// TOML file; the flags below take precedence over it.
    #[arg(long, env = "FOGHORN_CONTROLLER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of the certificate authority and the embedded store.
    #[arg(long, env = "FOGHORN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the REST API.
    #[arg(long, env = "FOGHORN_REST_LISTEN")]
    pub rest_listen: Option<SocketAddr>,
    /// Address for the links of agents.
    #[arg(long, env = "FOGHORN_LINK_LISTEN")]
    pub link_listen: Option<SocketAddr>,
    /// Take plain HTTP beside HTTPS, on the same port. On any but a loopback address, everybody on
    /// the network can read tokens and passwords.
    #[arg(long)]
    pub plain_http: bool,
    /// Address of a proxy whose `X-Forwarded-For` is believed; may be given several times.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    pub trusted_proxies: Vec<IpAddr>,
    /// Write the first user and tokens to this file (JSON, mode 0600) instead of printing them.
    #[arg(long)]
    pub first_run_file: Option<PathBuf>,
    /// Take the certificate authority of this data directory, or a new one, although the store
    /// belongs to another. Every agent must be enrolled again. For one start, after a loss.
    #[arg(long)]
    pub new_authority: bool,
}

impl Options {
    /// The file, if there is one, with the flags over it.
    ///
    /// # Errors
    /// When the file is not valid, or nothing says where the data is.
    pub fn into_config(self) -> anyhow::Result<Config> {
        let mut config = match (&self.config, &self.data_dir) {
            (Some(path), _) => Config::load(path)?,
            (None, Some(dir)) => Config::local(dir),
            (None, None) => anyhow::bail!("either --config or --data-dir is required"),
        };
        if let Some(dir) = self.data_dir {
            config.data_dir = dir;
        }
        if let Some(address) = self.rest_listen {
            config.rest.listen = address;
        }
        if let Some(address) = self.link_listen {
            config.link.listen = address;
        }
        config.new_authority = self.new_authority;
        config.rest.plain_http |= self.plain_http;
        config.first_run_file = self.first_run_file.or(config.first_run_file);
        config.login.trusted_proxies.extend(self.trusted_proxies);
        Ok(config)
    }
}
