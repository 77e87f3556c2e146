//! The command line of `foghorn-controller`. In the library, because its manual is made from it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use foghorn_settings::{Form, Instead, Layers, SettingsError};

use crate::config::{Config, ConfigFile, PROGRAM, TrustedProxy};

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
    /// Run the server until SIGTERM or SIGINT. On a terminal, it prints the first user and tokens
    /// until they are used.
    Run(Run),
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
        /// The new file; with --keep the folder for it, which has to exist.
        file: PathBuf,
        /// Name the new file after the time. When it is complete and was read again, remove the oldest
        /// of the files that this installation has written so into the folder, until N are left.
        #[arg(long, value_name = "N")]
        keep: Option<NonZeroU32>,
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
pub struct Run {
    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub instead: Instead,
}

#[derive(Args, Clone)]
pub struct Options {
    /// TOML file. Variables such as FOGHORN_CONTROLLER__REST__LISTEN take precedence over it, and
    /// the flags below over both.
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
    /// Address of a proxy whose `X-Forwarded-For` is believed, or a network of such; may be given
    /// several times.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Write the first user and tokens to this file (JSON, mode 0600) instead of printing them.
    #[arg(long)]
    pub first_run_file: Option<PathBuf>,
    /// Take the certificate authority of this data directory, or a new one, although the store
    /// belongs to another. Every agent must be enrolled again. For one start, after a loss.
    #[arg(long)]
    pub new_authority: bool,
}

/// Every key of the configuration.
#[must_use]
pub fn form() -> Form {
    Form::of::<ConfigFile>(PROGRAM, &[])
}

impl Options {
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
        let text = |path: &Path| path.to_string_lossy().into_owned();
        if let Some(dir) = &self.data_dir {
            layers.set("data_dir", "--data-dir", text(dir));
        }
        if let Some(address) = self.rest_listen {
            layers.set("rest.listen", "--rest-listen", address.to_string());
        }
        if let Some(address) = self.link_listen {
            layers.set("link.listen", "--link-listen", address.to_string());
        }
        if self.plain_http {
            layers.set("rest.plain_http", "--plain-http", true);
        }
        if let Some(file) = &self.first_run_file {
            layers.set("first_run_file", "--first-run-file", text(file));
        }
        let proxies = self.trusted_proxies.iter();
        let proxies = proxies.map(|proxy| proxy.to_string().into()).collect();
        layers.append("login.trusted_proxies", "--trusted-proxy", proxies);
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
        config.new_authority = self.new_authority;
        // What the layers have is text, and a path need not be.
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        if self.first_run_file.is_some() {
            config.first_run_file.clone_from(&self.first_run_file);
        }
        Ok(config)
    }

    /// What the file, if there is one, the variables of this process and the flags say together.
    ///
    /// # Errors
    /// As [`Options::layers`] and [`Options::config`].
    pub fn into_config(self) -> anyhow::Result<Config> {
        let layers = self.layers(std::env::vars_os())?;
        self.config(&layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        options: Options,
    }

    fn config(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        let flags = ["run"].iter().chain(flags);
        let options = Only::try_parse_from(flags).unwrap().options;
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let layers = options.layers(variables);
        let config = layers.map_err(anyhow::Error::from);
        config
            .and_then(|layers| options.config(&layers))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn variables_are_enough_and_flags_are_over_them() {
        let variables = [
            ("FOGHORN_CONTROLLER__DATA_DIR", "/srv/foghorn"),
            ("FOGHORN_CONTROLLER__REST__LISTEN", "127.0.0.1:443"),
            ("FOGHORN_CONTROLLER__REST__NAMES", "['fog.example']"),
            ("FOGHORN_CONTROLLER__LOGIN__TRUSTED_PROXIES", "['10.0.0.1']"),
            ("FOGHORN_CONTROLLER__IMAGES__KEEP_VERSIONS", "3"),
            // Of Kubernetes, for a service of that name.
            ("FOGHORN_CONTROLLER_SERVICE_HOST", "10.0.0.9"),
        ];
        let flags = [
            "--rest-listen",
            "127.0.0.1:8000",
            "--trusted-proxy",
            "10.0.0.2",
            "--trusted-proxy",
            "fd00:244::/56",
        ];
        let config = config(&flags, &variables).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/srv/foghorn"));
        assert_eq!(config.rest.listen.port(), 8000);
        assert_eq!(config.link.listen.to_string(), "0.0.0.0:8444");
        assert_eq!(config.rest.names, ["fog.example"]);
        assert_eq!(config.versions.most, 3);
        let proxies: Vec<String> = config
            .login
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(proxies, ["10.0.0.1", "10.0.0.2", "fd00:244::/56"]);
    }

    #[test]
    fn a_complaint_names_the_variable_or_the_flag() {
        let dir = ("FOGHORN_CONTROLLER__DATA_DIR", "/srv/foghorn");
        for (name, value, part) in [
            (
                "FOGHORN_CONTROLLER__LIMITS__STALL_SECONDS",
                "0",
                "at least 1",
            ),
            ("FOGHORN_CONTROLLER__LIMITS__STALL", "5", "no setting"),
            (
                "FOGHORN_CONTROLLER__LINK__ADVERTISE",
                "nowhere",
                "HOST:PORT",
            ),
            (
                "FOGHORN_CONTROLLER__PEERS__ADVERTISE",
                "nowhere",
                "peers.advertise",
            ),
            (
                "FOGHORN_CONTROLLER__LOG__FILTER",
                "foghorn=loud",
                "log filter",
            ),
            ("FOGHORN_CONTROLLER__STORE__ENGINE", "etcd3", "embedded"),
        ] {
            let said = config(&[], &[dir, (name, value)]).unwrap_err();
            assert!(said.contains(name) && said.contains(part), "{said}");
        }
        let nowhere = config(&[], &[]).unwrap_err();
        assert!(nowhere.contains("--data-dir"), "{nowhere}");
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
        let nothing = config(&["--data-dir", "/var/lib/foghorn/controller"], &[]).unwrap();
        assert_eq!(format!("{sample:#?}"), format!("{nothing:#?}"));

        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/config/controller.schema.json"
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
