//! Arguments of `foghorn-host`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use foghorn_host_config::pace::{INTERVAL, RETRY_PAUSES};

use super::Settings;

/// Keeps a machine, after it was imaged, as its configuration says.
///
/// Exit codes: 0 done or told to stop, 1 failed, 2 usage, 6 stopped while checking in, 123 a handler asks for `foghorn-host
/// run` to be started again.
#[derive(Parser, Debug)]
#[command(name = "foghorn-host", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check in again and again, until told to stop.
    Run(RunArgs),
    /// Check in once: fetch the config, and extract it if it has changed.
    CheckIn(PlaceArgs),
    /// Extract the config that was fetched last, without a network: for the boot, when extracted files are gone.
    Extract(PlaceArgs),
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub places: PlaceArgs,
    /// Seconds from one check-in to the next; up to a twentieth more or less, so that machines do not ask all at once.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = INTERVAL.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub interval: u64,
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
}

impl RunArgs {
    #[must_use]
    pub fn into_settings(self) -> Settings {
        Settings {
            interval: Duration::from_secs(self.interval),
            ..self.places.into_settings()
        }
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
        let parsed = Cli::parse_from([
            "foghorn-host",
            "check-in",
            "-c",
            "/a",
            "-c",
            "/b",
            "-s",
            "/s",
        ]);
        let Command::CheckIn(args) = parsed.command else {
            panic!("another command");
        };
        let settings = args.into_settings();
        assert_eq!(settings.search, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(settings.secrets, PathBuf::from("/s"));
        assert!(Cli::try_parse_from(["foghorn-host", "run", "--interval", "0"]).is_err());
    }
}
