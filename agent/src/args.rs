//! The command line of `foghorn-agent`. In the library, because its manual is made from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use foghorn_proto::http::{JOIN_PREFIX, TokenText};

use crate::config::Config;
use crate::controller_url::ControllerUrl;

/// A storage node of Foghorn.
#[derive(Parser)]
#[command(name = "foghorn-agent", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve until stopped by SIGINT or SIGTERM.
    Run(Run),
    /// Only enrol this node: make a key, buy a certificate for the join token, and exit.
    Enrol(Enrol),
}

#[derive(Args)]
pub struct Run {
    /// Configuration file (TOML). The options below take precedence over it.
    #[arg(long, env = "FOGHORN_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder of the node's identity and chunks.
    #[arg(long, env = "FOGHORN_AGENT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where to enrol: `https://HOST[:PORT]`.
    #[arg(long, env = "FOGHORN_AGENT_CONTROLLER")]
    pub controller: Option<ControllerUrl>,
    /// Used once, when the node has no identity yet.
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN", hide_env_values = true, value_parser = join_token)]
    pub join_token: Option<TokenText>,
    /// Address (UDP) to serve clients on.
    #[arg(long, env = "FOGHORN_AGENT_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// HOST:PORT that clients should use, when it is not the address towards the controller.
    #[arg(long, env = "FOGHORN_AGENT_ADVERTISE")]
    pub advertise: Option<String>,
}

#[derive(Args)]
pub struct Enrol {
    /// Folder to keep the identity in.
    #[arg(long, env = "FOGHORN_AGENT_STATE_DIR")]
    pub state_dir: PathBuf,
    /// `https://HOST[:PORT]` of the controller.
    #[arg(long, env = "FOGHORN_AGENT_CONTROLLER")]
    pub controller: ControllerUrl,
    /// Join token, as `foghorn node join-token` printed it.
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN", hide_env_values = true, value_parser = join_token)]
    pub token: TokenText,
}

fn join_token(text: &str) -> Result<TokenText, foghorn_proto::http::ParseTokenError> {
    TokenText::parse_typed(JOIN_PREFIX, text)
}

impl Run {
    /// The file, if there is one, with the flags over it.
    ///
    /// # Errors
    /// When the file is not valid, or nothing says where the data is.
    pub fn into_config(self) -> anyhow::Result<Config> {
        let mut config = match (&self.config, &self.state_dir) {
            (Some(path), _) => Config::load(path)?,
            (None, Some(state_dir)) => Config::new(state_dir),
            (None, None) => anyhow::bail!("either --config or --state-dir is needed"),
        };
        if let Some(state_dir) = self.state_dir {
            config.state_dir = state_dir;
        }
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.controller = self.controller.or(config.controller);
        config.join_token = self.join_token.or(config.join_token);
        config.advertise = self.advertise.or(config.advertise);
        Ok(config)
    }
}
