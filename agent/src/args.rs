//! The command line of `foghorn-agent`. In the library, because its manual is made from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use foghorn_proto::http::{JoinToken, ParseTokenError};
use foghorn_types::NodeName;

use crate::config::{Config, fingerprint, known_authority, node_name};
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
    /// Only enrol this node: make a key, get a certificate for it, and exit.
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
    pub join_token: Option<JoinToken>,
    #[command(flatten)]
    pub joining: Joining,
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
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN", hide_env_values = true, value_parser = join_token, required_unless_present = "service_account_token_file")]
    pub token: Option<JoinToken>,
    #[command(flatten)]
    pub joining: Joining,
}

/// Who this node is, where its token does not say so.
#[derive(Args)]
pub struct Joining {
    /// Name of this node, with a token for many nodes or of a service account; dots become hyphens.
    /// Default: the name of the machine.
    #[arg(long, env = "FOGHORN_AGENT_NAME", value_parser = node_name)]
    pub name: Option<NodeName>,
    /// File with the token of a Kubernetes service account, in place of a join token.
    #[arg(
        long,
        env = "FOGHORN_AGENT_SERVICE_ACCOUNT_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub service_account_token_file: Option<PathBuf>,
    /// Certificate of the controller's authority (PEM), with the token of a service account.
    #[arg(long, env = "FOGHORN_AGENT_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of that certificate, in place of the file.
    #[arg(long, env = "FOGHORN_AGENT_CA_FINGERPRINT", value_name = "SHA", value_parser = fingerprint)]
    pub ca_fingerprint: Option<String>,
}

impl Joining {
    /// Puts what is given here, and `token`, over what the file says.
    fn apply(self, token: Option<JoinToken>, config: &mut Config) -> anyhow::Result<()> {
        // One of the two that is given here takes the place of the other one in the file.
        if token.is_some() || self.service_account_token_file.is_some() {
            if token.is_some() {
                config.authority = None;
            }
            config.join_token = token;
            config.service_account_token_file = self.service_account_token_file;
        }
        let authority = known_authority(self.ca_file, self.ca_fingerprint)?;
        config.authority = authority.or(config.authority.take());
        config.name = self.name.or(config.name.take());
        Ok(config.check_joining()?)
    }
}

fn join_token(text: &str) -> Result<JoinToken, ParseTokenError> {
    JoinToken::parse_typed(text)
}

impl Enrol {
    /// What of the configuration an enrolment needs.
    ///
    /// # Errors
    /// When options contradict each other.
    pub fn into_config(self) -> anyhow::Result<Config> {
        let mut config = Config::new(self.state_dir);
        config.controller = Some(self.controller);
        self.joining.apply(self.token, &mut config)?;
        Ok(config)
    }
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
        config.advertise = self.advertise.or(config.advertise);
        self.joining.apply(self.join_token, &mut config)?;
        Ok(config)
    }
}
