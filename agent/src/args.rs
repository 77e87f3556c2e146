//! The command line of `foghorn-agent`. In the library, because its manual is made from it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use foghorn_proto::http::{JoinToken, ParseTokenError};
use foghorn_settings::{Form, Instead, Layers, SettingsError};
use foghorn_types::NodeName;

use crate::config::{Config, ConfigFile, PROGRAM, fingerprint, known_authority, node_name};
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
    Run(RunArguments),
    /// Only enrol this node: make a key, get a certificate for it, and exit.
    Enrol(Enrol),
}

#[derive(Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub instead: Instead,
}

#[derive(Args, Clone)]
pub struct Run {
    /// Configuration file (TOML). Variables such as FOGHORN_AGENT__LIMITS__CONNECTIONS take
    /// precedence over it, and the options below over both.
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
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN", hide_env_values = true, value_parser = join_token, required_unless_present_any = ["join_token_file", "service_account_token_file"])]
    pub token: Option<JoinToken>,
    #[command(flatten)]
    pub joining: Joining,
}

/// Who this node is, where its token does not say so.
#[derive(Args, Clone)]
pub struct Joining {
    /// Name of this node, with a token for many nodes or of a service account; dots become hyphens.
    /// Default: the name of the machine.
    #[arg(long, env = "FOGHORN_AGENT_NAME", value_parser = node_name)]
    pub name: Option<NodeName>,
    /// File with a join token, in place of the token itself. Read when it is needed.
    #[arg(long, env = "FOGHORN_AGENT_JOIN_TOKEN_FILE", value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
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
        // A token that is given here takes the place of any other in the file.
        let joins = token.is_some() || self.join_token_file.is_some();
        if joins || self.service_account_token_file.is_some() {
            if joins {
                config.authority = None;
            }
            config.join_token = token;
            config.join_token_file = self.join_token_file;
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

/// Every key of the configuration.
#[must_use]
pub fn form() -> Form {
    Form::of::<ConfigFile>(PROGRAM, &[])
}

impl Run {
    /// What the file, if there is one, these variables and the flags say together.
    ///
    /// # Errors
    /// When the file cannot be read, or a variable is no setting.
    pub fn layers(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, SettingsError> {
        let mut layers = Layers::new(form());
        if let Some(path) = &self.config {
            layers.add_file(path)?;
        }
        layers.add_variables(variables)?;
        if let Some(dir) = &self.state_dir {
            let dir = dir.to_string_lossy().into_owned();
            layers.set("state_dir", "--state-dir", dir);
        }
        if let Some(url) = &self.controller {
            layers.set("controller", "--controller", url.to_string());
        }
        if let Some(address) = self.listen {
            layers.set("listen", "--listen", address.to_string());
        }
        if let Some(address) = &self.advertise {
            layers.set("advertise", "--advertise", address.clone());
        }
        Ok(layers)
    }

    /// The configuration that these layers are.
    ///
    /// # Errors
    /// When a value is invalid, or nothing says where the data is. The message names the file,
    /// variable or flag.
    pub fn config(&self, layers: &Layers) -> anyhow::Result<Config> {
        let checked = Config::of_file(layers.read()?).map_err(|error| {
            let origin = error.key().and_then(|key| layers.origin(key)).cloned();
            match origin {
                Some(origin) => {
                    anyhow::Error::new(error).context(format!("{origin} cannot be used"))
                }
                None => error.into(),
            }
        });
        let mut config = checked?;
        // What the layers have is text, and a path need not be.
        if let Some(dir) = &self.state_dir {
            config.state_dir.clone_from(dir);
        }
        self.joining
            .clone()
            .apply(self.join_token.clone(), &mut config)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        run: Run,
    }

    fn config(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        let flags = ["run"].iter().chain(flags);
        let run = Only::try_parse_from(flags).unwrap().run;
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let layers = run.layers(variables).map_err(anyhow::Error::from);
        layers
            .and_then(|layers| run.config(&layers))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn variables_are_enough_and_flags_are_over_them() {
        let variables = [
            ("FOGHORN_AGENT__STATE_DIR", "/srv/foghorn"),
            ("FOGHORN_AGENT__CONTROLLER", "https://fog.example"),
            ("FOGHORN_AGENT__LISTEN", "127.0.0.1:7000"),
            ("FOGHORN_AGENT__LIMITS__CONNECTIONS", "7"),
            ("FOGHORN_AGENT__WAKE__INTERFACES", "[]"),
            ("FOGHORN_AGENT__COLD__BUCKET", "images"),
            ("FOGHORN_AGENT__COLD__CACHE_MIB", "1024"),
        ];
        let token = format!("fhj1.secret.{}", "a".repeat(43));
        let flags = ["--listen", "127.0.0.1:7001", "--join-token", &token];
        let config = config(&flags, &variables).unwrap();
        assert_eq!(config.state_dir, PathBuf::from("/srv/foghorn"));
        assert_eq!(config.listen.port(), 7001);
        assert_eq!(config.limits.connections, 7);
        assert_eq!(config.wake.interfaces, Some(vec![]));
        assert_eq!(config.cold.unwrap().bucket, "images");
        assert_eq!(config.join_token.unwrap().token.secret, "secret");
    }

    #[test]
    fn a_token_that_a_flag_gives_takes_the_place_of_the_one_in_the_file() {
        let variables = [
            ("FOGHORN_AGENT__STATE_DIR", "/srv/foghorn"),
            ("FOGHORN_AGENT__JOIN_TOKEN_FILE", "/from/the/file"),
        ];
        let plain = config(&[], &variables).unwrap();
        assert_eq!(plain.join_token_file, Some("/from/the/file".into()));
        let other = config(&["--join-token-file", "/flag"], &variables).unwrap();
        assert_eq!(other.join_token_file, Some("/flag".into()));
        let token = format!("fhj1.secret.{}", "a".repeat(43));
        let typed = config(&["--join-token", &token], &variables).unwrap();
        assert!(typed.join_token_file.is_none() && typed.join_token.is_some());
        let both = ["--join-token", &token, "--join-token-file", "/flag"];
        let said = config(&both, &variables).unwrap_err();
        assert!(
            said.contains("only one") && !said.contains("secret"),
            "{said}"
        );
    }

    #[test]
    fn a_complaint_names_the_variable_and_shows_no_token() {
        let dir = ("FOGHORN_AGENT__STATE_DIR", "/srv/foghorn");
        for (name, value, part) in [
            ("FOGHORN_AGENT__LIMITS__CONNECTIONS", "0", "serve nobody"),
            ("FOGHORN_AGENT__LIMITS__CONNECTION", "5", "no setting"),
            (
                "FOGHORN_AGENT__CONTROLLER",
                "http://fog.example",
                "not encrypted",
            ),
            ("FOGHORN_AGENT__JOIN_TOKEN", "s3cret", "join_token"),
            ("FOGHORN_AGENT__COLD__BUCKET", "images", "cold.cache_mib"),
        ] {
            let said = config(&[], &[dir, (name, value)]).unwrap_err();
            assert!(said.contains(part) && !said.contains("s3cret"), "{said}");
            assert!(said.contains(name) || part == "cold.cache_mib", "{said}");
        }
        let nowhere = config(&[], &[]).unwrap_err();
        assert!(nowhere.contains("--state-dir"), "{nowhere}");
    }

    /// Keys without a default are commented out, with an example.
    #[test]
    fn the_sample_and_the_schema_are_those_of_the_types() {
        let form = form();
        for key in form.keys() {
            let is_shown = key.default.is_some() || key.example.is_some();
            assert!(
                is_shown,
                "{} has neither a default nor an example",
                key.path
            );
            assert!(!key.description.is_empty(), "{} is not described", key.path);
        }
        let sample: ConfigFile = toml::from_str(&form.sample()).unwrap();
        let sample = Config::of_file(sample).unwrap();
        let nothing = config(&["--state-dir", "/var/lib/foghorn/agent"], &[]).unwrap();
        assert_eq!(format!("{sample:#?}"), format!("{nothing:#?}"));

        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/config/agent.schema.json"
        );
        let printed = form.schema();
        if std::env::var_os("CONFIG_FILES").is_some_and(|how| how == "write") {
            std::fs::write(path, &printed).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == printed,
            "{path} is not what `--print-config-schema` prints: run this test with CONFIG_FILES=write"
        );
    }
}
