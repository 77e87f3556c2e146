//! Arguments of `foghorn-host`.

use std::path::{Component, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use foghorn_host_config::pace::{INTERVAL, RETRY_PAUSES};
use foghorn_proto::http::{HOST_PREFIX, ParseTokenError, TokenText};

use super::{Enrol, Settings, WorkSettings};

/// How long a handler may take, in seconds, unless it is said otherwise.
const HANDLER_SECONDS: u64 = 10 * 60;
/// The same for a snapin that does not say so itself.
const SNAPIN_SECONDS: u64 = 60 * 60;

/// Keeps a machine, after it was imaged, as its configuration says, and does the work of its host: snapins, power rules, host name,
/// inventory, log-ins.
///
/// Exit codes: 0 done or told to stop, 1 failed, 2 usage, 5 the token was refused, 6 stopped while checking in or enrolling,
/// 123 a handler asks for `foghorn-host run` to be started again.
#[derive(Parser, Debug)]
#[command(name = "foghorn-host", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check in and do the work of the host again and again, until told to stop.
    Run(RunArgs),
    /// Check in once: fetch the config, and extract it if it has changed; then do the work of the host once.
    CheckIn(CheckInArgs),
    /// Extract the config that was fetched last, without a network: for the boot, when extracted files are gone.
    Extract(PlaceArgs),
    /// Get this machine its identity, with a token of `foghorn host token`: a key that stays here, a certificate, and the
    /// settings that name both.
    Enrol(EnrolArgs),
}

/// Arguments of `enrol`.
#[derive(Args, Debug)]
pub struct EnrolArgs {
    /// Address of the server, as its web page and its API have it.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// The machine token (fhh1.…). It names the certificate authority too, and no other is trusted.
    #[arg(long, required_unless_present = "token_file")]
    pub token: Option<String>,
    /// A file with the token, which is in no list of processes then.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// What the device is called; default: as its host, else its UUID.
    #[arg(long)]
    pub name: Option<String>,
    /// Where the files are written, and the service finds them: the folder of sota.toml.
    #[arg(long, value_name = "DIR", default_value = "/var/sota")]
    pub dir: PathBuf,
    /// The file system of the machine, if it is not running: a disk that was just deployed, mounted here.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Do not tell the UUID of the hardware: that of the device follows from its key.
    #[arg(long)]
    pub no_hardware_uuid: bool,
    /// Replace the identity that this machine has.
    #[arg(long)]
    pub replace: bool,
}

/// Why the arguments of `enrol` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnrolArgsError {
    #[error("could not read the token in {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the token is not valid")]
    Token(#[source] ParseTokenError),
    #[error("--dir {0:?} is not an absolute path without ..")]
    Dir(PathBuf),
}

impl EnrolArgs {
    /// # Errors
    /// [`EnrolArgsError`]
    pub fn into_enrol(self) -> Result<Enrol, EnrolArgsError> {
        let text = match (self.token, self.token_file) {
            (Some(text), _) => text,
            (None, Some(path)) => std::fs::read_to_string(&path)
                .map_err(|source| EnrolArgsError::Read { path, source })?,
            (None, None) => String::new(),
        };
        let token = TokenText::parse_typed(HOST_PREFIX, &text).map_err(EnrolArgsError::Token)?;
        let goes_up = |path: &PathBuf| path.components().any(|part| part == Component::ParentDir);
        if !self.dir.is_absolute() || goes_up(&self.dir) || self.dir.to_str().is_none() {
            return Err(EnrolArgsError::Dir(self.dir));
        }
        Ok(Enrol {
            server: self.server,
            token,
            name: self.name,
            folder: self.dir,
            root: self.root,
            tells_hardware: !self.no_hardware_uuid,
            replaces: self.replace,
        })
    }
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub places: PlaceArgs,
    #[command(flatten)]
    pub work: WorkArgs,
    /// Seconds from one check-in to the next; up to a twentieth more or less, so that machines do not ask all at once.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = INTERVAL.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub interval: u64,
}

/// Arguments of `check-in`.
#[derive(Args, Debug)]
pub struct CheckInArgs {
    #[command(flatten)]
    pub places: PlaceArgs,
    #[command(flatten)]
    pub work: WorkArgs,
}

/// How the work of the host is done.
#[derive(Args, Debug)]
pub struct WorkArgs {
    /// Only keep the configuration: run no snapins, follow no power rules, keep the host name, tell no inventory and no log-ins.
    #[arg(long)]
    pub no_work: bool,
    /// Seconds that a snapin may take which does not say so itself. Then its process group gets SIGTERM, and 10 seconds later
    /// SIGKILL.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = SNAPIN_SECONDS,
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub snapin_timeout: u64,
    /// A program that is called with reboot or poweroff, instead of systemctl.
    #[arg(long, value_name = "FILE")]
    pub power_command: Option<PathBuf>,
    /// The file system whose name, log-ins and hardware are those of the machine: for tests.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Where things are.
#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// A settings file in TOML (sota.toml), or a folder of them; may be given several times. Later names win.
    #[arg(
        short,
        long,
        value_name = "PATH",
        default_values = ["/usr/lib/sota/conf.d", "/var/sota/sota.toml", "/etc/sota/conf.d"]
    )]
    pub config: Vec<PathBuf>,
    /// Where config files are extracted to; best on a file system in memory.
    #[arg(short, long, value_name = "DIR", default_value = "/var/run/secrets")]
    pub secrets_dir: PathBuf,
    /// Only programs below this folder run as handlers.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/usr/share/fioconfig/handlers"
    )]
    pub handlers_dir: PathBuf,
    /// Run handlers wherever they are: whoever may change the config of this machine may then run anything on it.
    #[arg(long)]
    pub unsafe_handlers: bool,
    /// The programs that can be run as remote actions.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/usr/share/fioconfig/actions"
    )]
    pub actions_dir: PathBuf,
    /// Seconds that a handler may take. Then its process group gets SIGTERM, and 10 seconds later SIGKILL, and it has failed.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = HANDLER_SECONDS,
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub handler_timeout: u64,
}

impl RunArgs {
    #[must_use]
    pub fn into_settings(self) -> Settings {
        Settings {
            interval: Duration::from_secs(self.interval),
            work: self.work.into_settings(),
            ..self.places.into_settings()
        }
    }
}

impl CheckInArgs {
    #[must_use]
    pub fn into_settings(self) -> Settings {
        Settings {
            work: self.work.into_settings(),
            ..self.places.into_settings()
        }
    }
}

impl WorkArgs {
    /// `None` when none is to be done.
    #[must_use]
    fn into_settings(self) -> Option<WorkSettings> {
        (!self.no_work).then(|| WorkSettings {
            root: self.root,
            snapin_limit: Duration::from_secs(self.snapin_timeout),
            power_command: self.power_command,
        })
    }
}

impl PlaceArgs {
    #[must_use]
    pub fn into_settings(self) -> Settings {
        Settings {
            search: self.config,
            secrets: self.secrets_dir,
            handlers: self.handlers_dir,
            unsafe_handlers: self.unsafe_handlers,
            actions: self.actions_dir,
            interval: INTERVAL,
            retry_pauses: RETRY_PAUSES.to_vec(),
            handler_limit: Duration::from_secs(self.handler_timeout),
            work: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn places_are_those_of_the_agent_unless_given() {
        let parsed = Cli::parse_from(["foghorn-host", "run"]);
        let Command::Run(args) = parsed.command else {
            panic!("another command");
        };
        let settings = args.into_settings();
        assert_eq!(settings.interval, INTERVAL);
        assert_eq!(settings.search.len(), 3);
        assert_eq!(settings.handler_limit, Duration::from_secs(600));
        let work = settings.work.unwrap();
        assert_eq!(
            (work.root, work.snapin_limit),
            ("/".into(), Duration::from_secs(3600))
        );
        assert_eq!(work.power_command, None);
        let parsed = Cli::parse_from([
            "foghorn-host",
            "check-in",
            "-c",
            "/a",
            "-c",
            "/b",
            "-s",
            "/s",
            "--no-work",
            "--handler-timeout",
            "5",
        ]);
        let Command::CheckIn(args) = parsed.command else {
            panic!("another command");
        };
        let settings = args.into_settings();
        assert_eq!(settings.search, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(settings.secrets, PathBuf::from("/s"));
        assert_eq!(settings.handler_limit, Duration::from_secs(5));
        assert!(settings.work.is_none());
        for flag in ["--interval", "--snapin-timeout", "--handler-timeout"] {
            assert!(
                Cli::try_parse_from(["foghorn-host", "run", flag, "0"]).is_err(),
                "{flag}"
            );
        }
    }

    #[test]
    fn a_token_comes_from_the_command_line_or_from_a_file() {
        let enrol = |more: &[&str]| {
            let first = ["foghorn-host", "enrol", "--server", "https://c"];
            let parsed = Cli::try_parse_from(first.iter().chain(more));
            let Command::Enrol(args) = parsed.map_err(|error| error.to_string())?.command else {
                panic!("another command");
            };
            args.into_enrol().map_err(|error| error.to_string())
        };
        let text = format!("fhh1.secret.{}", "a".repeat(43));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{text}\n")).unwrap();
        let file = file.to_str().unwrap();
        for more in [["--token", text.as_str()], ["--token-file", file]] {
            let with = enrol(&more).unwrap();
            assert_eq!(with.token.secret, "secret");
            assert_eq!(with.folder, PathBuf::from("/var/sota"));
            assert!(with.tells_hardware && !with.replaces);
        }
        assert!(enrol(&[]).is_err());
        assert!(enrol(&["--token", "fhj1.a.b"]).is_err());
        assert!(enrol(&["--token-file", "/missing"]).is_err());
        for dir in ["sota", "/var/../etc"] {
            assert!(enrol(&["--token", &text, "--dir", dir]).is_err(), "{dir}");
        }
    }
}
