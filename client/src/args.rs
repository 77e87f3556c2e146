//! Arguments, environment and kernel command line: raw text in, a checked [`RunConfig`] out.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use foghorn_disk_layout::SurveyOptions;
use foghorn_proto::code::{ParseCodeError, ShortCode};
use foghorn_proto::http::{BOOT_PREFIX, OptionsFor, ParseTokenError, TokenText};
use foghorn_types::{MacAddress, ParseMacError, SectorSize, UnknownSectorSize};

use crate::boot::BootSettings;
use crate::check_in::code::Typed;
use crate::check_in::{CheckIn, OnlyFor, controller_address};
use crate::disk::FileSectors;
use crate::disk::target::{DiskRules, ParseDiskRuleError};
use crate::interface::{FindMacError, mac_towards};
use crate::partitions::{ALL, ParsePartitionsError, Partitions};

/// Images the disk of this machine.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 4 no task, 5 refused (token, rights, target disk, dirty
/// file system, unusable partition table), 6 cancelled.
#[derive(Parser, Debug)]
#[command(name = "foghorn-client", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check in, do the task of this machine, report.
    Run(RunArgs),
    /// The same with a short code in place of a token: boot 7KQ-24M -c 10.23.0.1
    ///
    /// `foghorn host boot-token --code` makes a code for one host or for a room. Case and dashes do
    /// not matter.
    Boot(BootArgs),
}

impl Cli {
    /// The command line as the program with this path has it: `fh` is a shorter name of this one.
    #[must_use]
    pub fn command_of(program: &Path) -> clap::Command {
        let command = Self::command();
        if program.file_name().is_some_and(|name| name == SHORT_NAME) {
            command.name(SHORT_NAME).bin_name(SHORT_NAME)
        } else {
            command
        }
    }
}

/// What people type who start machines by hand.
const SHORT_NAME: &str = "fh";

/// Arguments of `boot`.
#[derive(Args, Debug, Default)]
#[command(mut_arg("token", |token| token.hide(true).env(None::<&str>)))]
pub struct BootArgs {
    /// The short code, such as 7KQ-24M. Spaces in it do no harm.
    #[arg(required = true, num_args = 1..)]
    pub code: Vec<String>,
    #[command(flatten)]
    pub run: RunArgs,
}

impl Command {
    /// The settings of the run that both commands begin.
    #[must_use]
    pub fn into_args(self) -> RunArgs {
        match self {
            Self::Run(args) => args,
            Self::Boot(BootArgs { code, run }) => RunArgs {
                code: Some(code.concat()),
                ..run
            },
        }
    }
}

/// What is not given here or in the environment is taken from the kernel command line
/// (foghorn.controller=, foghorn.token=, foghorn.mac=, foghorn.disk=).
#[derive(Args, Debug, Default)]
pub struct RunArgs {
    /// A short code in place of the token, from `boot`.
    #[arg(skip)]
    pub code: Option<String>,
    /// Address of the controller, such as foghorn.example or `https://foghorn.example:443`. A name or
    /// an address alone means https and port 8443.
    #[arg(short, long, env = "FOGHORN_CONTROLLER", value_name = "URL")]
    pub controller: Option<String>,
    /// MAC address that the host is known by. Default: that of the interface towards the
    /// controller.
    #[arg(long, env = "FOGHORN_MAC")]
    pub mac: Option<String>,
    /// One-time boot token (fhb1.…).
    #[arg(
        long,
        env = "FOGHORN_BOOT_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Which disk: path:/dev/… (or just the path), serial:…, wwn:…, size:>=N,<=N, only. For an image
    /// of several disks one rule each, in their order, with commas between them; or all. Default:
    /// the host's own rule.
    #[arg(long, env = "FOGHORN_DISK", value_name = "RULE[,RULE…]")]
    pub disk: Option<String>,
    /// For deploys: where to remember what was written, so that an interrupted one finds it faster.
    /// Default: the environment's FOGHORN_STATE_DIR, which may also be set for a capture.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// For captures: go on although a file system was not cleanly unmounted, or a system is suspended: of that
    /// partition, every block that is not zero. PARTITIONS are numbers as Linux counts (2,5);
    /// without them all are meant, and a disk that is in use is captured too. Of several disks, the
    /// number of the disk comes first (1:2).
    #[arg(
        long,
        value_name = "PARTITIONS",
        num_args = 0..=1,
        default_missing_value = ALL
    )]
    pub accept_dirty: Vec<String>,
    /// For captures: take these partitions raw, whatever is in them: every block that is not zero.
    /// Numbers as Linux counts (3 or 2,5; of several disks 1:3), or all, which also takes a disk
    /// whose partition table cannot be used.
    #[arg(long, value_name = "PARTITIONS")]
    pub raw: Vec<String>,
    /// Capture what can be read of a failing disk. What cannot be read is zero in the image, and the
    /// image, its task and every deploy say so. Without this such a capture fails.
    #[arg(long)]
    pub rescue: bool,
    /// Do not wait: exit with 4 when there is no order yet, with 1 when the controller does not
    /// answer.
    #[arg(long)]
    pub once: bool,
    /// Bytes per sector when the disk is a regular file: 512 or 4096. Default: the image's on
    /// deploy; on capture what the contents show, else 512.
    #[arg(long, value_name = "BYTES")]
    pub sector_size: Option<u64>,
    /// Write a summary of the run as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// A complaint about the settings, naming the one at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("no controller: give --controller, FOGHORN_CONTROLLER or foghorn.controller=")]
    NoController,
    #[error("no boot token: give --token, FOGHORN_BOOT_TOKEN or foghorn.token=")]
    NoToken,
    #[error("a code takes the place of a token: give one of them")]
    CodeAndToken,
    #[error("the code is not valid")]
    Code(#[source] ParseCodeError),
    #[error("--token is not valid")]
    Token(#[source] ParseTokenError),
    #[error("--mac is not valid")]
    Mac(#[source] ParseMacError),
    #[error(
        "the controller in --controller has no IPv4 address, so the interface that leads to it is not known: give --mac"
    )]
    NoAddress,
    #[error("the MAC address is not known: give --mac")]
    FindMac(#[source] crate::args::FindMac),
    #[error("--disk is not valid")]
    Disk(#[source] ParseDiskRuleError),
    #[error("{capture} would have an effect on a capture, {deploy} on a deploy: no task is both")]
    BothKinds { capture: String, deploy: String },
    #[error(transparent)]
    Partitions(#[from] ParsePartitionsError),
    #[error("--sector-size is not valid")]
    SectorSize(#[source] UnknownSectorSize),
}

/// Why the interface towards the controller is not known.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FindMac(FindMacError);

/// Checked settings of one run.
#[derive(Clone, Debug)]
pub struct RunConfig {
    pub controller: String,
    pub ticket: Ticket,
    pub mac: MacAddress,
    /// See [`CheckIn::once`].
    pub once: bool,
    pub only_for: Option<OnlyFor>,
    /// Takes precedence over the host's rule.
    pub disk: Option<DiskRules>,
    pub state_dir: Option<PathBuf>,
    /// Partitions that a capture takes although they are unclean, on any of its disks.
    pub dirty: Partitions,
    /// Partitions that a capture takes raw.
    pub raw: Partitions,
    /// What else of a capture is decided here.
    pub survey: SurveyOptions,
    pub file_sectors: FileSectors,
    pub report: Option<PathBuf>,
}

/// What the machine shows to be let in.
#[derive(Clone, Debug)]
pub enum Ticket {
    Token(TokenText),
    /// Exchanged for a token first.
    Code(ShortCode),
}

/// Port of the controller when an address without one is given.
const PORT: u16 = 8443;

/// The URL of a controller that is given as such, or as a name or an address alone.
fn url_of(controller: &str) -> String {
    let given = controller.trim();
    if given.contains("://") {
        return given.to_owned();
    }
    match given.parse::<IpAddr>() {
        Ok(ip) => format!("https://{}", SocketAddr::new(ip, PORT)),
        Err(_) if has_port(given) => format!("https://{given}"),
        Err(_) => format!("https://{given}:{PORT}"),
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

impl RunConfig {
    /// What to check in with.
    #[must_use]
    pub fn check_in(&self, token: TokenText) -> CheckIn {
        CheckIn {
            controller: self.controller.clone(),
            token,
            mac: self.mac,
            once: self.once,
            only_for: self.only_for.clone(),
        }
    }

    /// How a code is exchanged.
    #[must_use]
    pub fn typed<'a>(&'a self, code: &'a ShortCode) -> Typed<'a> {
        Typed {
            controller: &self.controller,
            code,
            mac: self.mac,
            once: self.once,
        }
    }

    /// Fills in what the kernel command line says, and checks everything. May resolve the
    /// controller's name.
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub fn new(args: RunArgs) -> Result<Self, ConfigError> {
        let mut config = Self::with_boot(args, BootSettings::of_this_boot())?;
        let state_dir = std::env::var_os(STATE_DIR).filter(|dir| !dir.is_empty());
        config.state_dir = config.state_dir.or(state_dir.map(PathBuf::from));
        Ok(config)
    }

    fn with_boot(args: RunArgs, boot: BootSettings) -> Result<Self, ConfigError> {
        let only_for = only_for(&args)?;
        let controller = args
            .controller
            .or(boot.controller)
            .ok_or(ConfigError::NoController)?;
        let controller = url_of(&controller);
        let ticket = ticket(args.code.as_deref(), args.token, boot.token)?;
        let disk = args
            .disk
            .or(boot.disk)
            .map(|rule| rule.parse())
            .transpose()
            .map_err(ConfigError::Disk)?;
        let file_sectors = match args.sector_size {
            Some(bytes) => {
                FileSectors::Given(SectorSize::try_from(bytes).map_err(ConfigError::SectorSize)?)
            }
            None => FileSectors::Unknown,
        };
        let mac: MacAddress = match args.mac.or(boot.mac) {
            Some(text) => text.parse().map_err(ConfigError::Mac)?,
            None => {
                let address = controller_address(&controller).ok_or(ConfigError::NoAddress)?;
                mac_towards(address).map_err(|error| ConfigError::FindMac(FindMac(error)))?
            }
        };
        Ok(Self {
            controller,
            ticket,
            mac,
            once: args.once,
            only_for,
            disk,
            state_dir: args.state_dir,
            dirty: Partitions::parse("--accept-dirty", &args.accept_dirty)?,
            raw: Partitions::parse("--raw", &args.raw)?,
            survey: SurveyOptions {
                rescue: args.rescue,
                ..SurveyOptions::default()
            },
            file_sectors,
            report: args.report,
        })
    }
}

fn ticket(
    code: Option<&str>,
    token: Option<String>,
    of_boot: Option<String>,
) -> Result<Ticket, ConfigError> {
    if let Some(code) = code {
        return match token {
            Some(_) => Err(ConfigError::CodeAndToken),
            None => Ok(Ticket::Code(code.parse().map_err(ConfigError::Code)?)),
        };
    }
    let token = token.or(of_boot).ok_or(ConfigError::NoToken)?;
    let token = TokenText::parse_typed(BOOT_PREFIX, &token).map_err(ConfigError::Token)?;
    Ok(Ticket::Token(token))
}

/// Environments are the same for all tasks: this one has no effect on captures, which do not mind.
const STATE_DIR: &str = "FOGHORN_STATE_DIR";

/// The options that have an effect on one kind of task only.
fn only_for(args: &RunArgs) -> Result<Option<OnlyFor>, ConfigError> {
    let given = |options: &[(&'static str, bool)]| -> Vec<&'static str> {
        let given = options.iter().filter(|(_, is_given)| *is_given);
        given.map(|(name, _)| *name).collect()
    };
    let capture = given(&[
        ("--accept-dirty", !args.accept_dirty.is_empty()),
        ("--raw", !args.raw.is_empty()),
        ("--rescue", args.rescue),
    ]);
    let deploy = given(&[("--state-dir", args.state_dir.is_some())]);
    match (capture.is_empty(), deploy.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(OnlyFor {
            kind: OptionsFor::Capture,
            options: capture,
        })),
        (true, false) => Ok(Some(OnlyFor {
            kind: OptionsFor::Deploy,
            options: deploy,
        })),
        (false, false) => Err(ConfigError::BothKinds {
            capture: capture.join(" and "),
            deploy: deploy.join(" and "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;
    use foghorn_disk_layout::PartitionSet;

    use super::*;

    fn args() -> RunArgs {
        RunArgs {
            controller: Some("https://c".into()),
            mac: Some("aa:bb:cc:00:01:02".into()),
            ..RunArgs::default()
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn partitions_are_listed_or_all() {
        let parse = |line: &[&str]| {
            let args = Cli::try_parse_from([&["foghorn-client", "run"], line].concat())
                .unwrap()
                .command
                .into_args();
            let of_the_disk = |parsed: Partitions| parsed.of_disks(1).unwrap().remove(0);
            let dirty = Partitions::parse("--accept-dirty", &args.accept_dirty);
            let raw = Partitions::parse("--raw", &args.raw);
            dirty.and_then(|dirty| Ok((of_the_disk(dirty), of_the_disk(raw?))))
        };
        let only = |numbers: &[u32]| PartitionSet::Only(numbers.iter().copied().collect());
        let none = only(&[]);
        assert_eq!(parse(&[]).unwrap(), (none.clone(), none.clone()));
        assert_eq!(
            parse(&["--accept-dirty", "--once"]).unwrap(),
            (PartitionSet::All, none.clone())
        );
        assert_eq!(
            parse(&["--accept-dirty", "2,5", "--raw", "3", "--raw=4, 1"]).unwrap(),
            (only(&[2, 5]), only(&[1, 3, 4]))
        );
        assert_eq!(parse(&["--raw", "all"]).unwrap(), (none, PartitionSet::All));
        for wrong in [
            ["--raw", "sda1"],
            ["--raw", "1,,2"],
            ["--accept-dirty", "-1"],
        ] {
            let joined = wrong.join("=");
            let error = parse(&[&joined]).unwrap_err().to_string();
            assert!(
                error.contains(wrong[0]) && error.contains("is no partition"),
                "{error}"
            );
        }
    }

    #[test]
    fn options_name_the_kind_of_task_that_they_are_for() {
        let with = |args: RunArgs| only_for(&args).map(|only| only.map(|only| only.kind));
        let raw = || vec!["2".to_owned()];
        let dir = || Some(PathBuf::from("/state"));
        assert_eq!(with(args()).unwrap(), None);
        let captures = RunArgs {
            raw: raw(),
            ..args()
        };
        assert_eq!(with(captures).unwrap(), Some(OptionsFor::Capture));
        let deploys = RunArgs {
            state_dir: dir(),
            ..args()
        };
        assert_eq!(with(deploys).unwrap(), Some(OptionsFor::Deploy));
        let both = RunArgs {
            accept_dirty: raw(),
            raw: raw(),
            state_dir: dir(),
            ..args()
        };
        assert_eq!(
            with(both).unwrap_err().to_string(),
            "--accept-dirty and --raw would have an effect on a capture, --state-dir on a deploy: \
             no task is both"
        );
    }

    #[test]
    fn the_kernel_command_line_fills_gaps_and_no_more() {
        let boot = BootSettings {
            token: Some("fhb1.a.ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".into()),
            controller: Some("https://other".into()),
            ..BootSettings::default()
        };
        let config = RunConfig::with_boot(args(), boot).unwrap();
        assert_eq!(config.controller, "https://c");
        assert!(matches!(config.ticket, Ticket::Token(token) if token.secret == "a"));
    }

    #[test]
    fn a_name_or_an_address_is_enough() {
        for (given, url) in [
            ("10.23.0.1", "https://10.23.0.1:8443"),
            (" fog.example ", "https://fog.example:8443"),
            ("fog.example:443", "https://fog.example:443"),
            ("fd00::1", "https://[fd00::1]:8443"),
            ("[fd00::1]:443", "https://[fd00::1]:443"),
            ("https://fog.example", "https://fog.example"),
            ("http://127.0.0.1:80/", "http://127.0.0.1:80/"),
        ] {
            assert_eq!(url_of(given), url);
        }
    }

    fn parse_as(program: &str, line: &str) -> Result<RunArgs, clap::Error> {
        let words = std::iter::once(program).chain(line.split_whitespace());
        let matches = Cli::command_of(Path::new(program)).try_get_matches_from(words)?;
        Ok(Cli::from_arg_matches(&matches)?.command.into_args())
    }

    #[test]
    fn a_code_is_typed_under_either_name() {
        for program in ["fh", "/usr/local/bin/fh", "foghorn-client"] {
            let args = parse_as(program, "boot 7kq24m -c 10.23.0.1").unwrap();
            let args = RunArgs {
                mac: Some("aa:bb:cc:00:01:02".into()),
                ..args
            };
            let boot = BootSettings {
                token: Some("fhb1.a.b".into()),
                ..BootSettings::default()
            };
            let config = RunConfig::with_boot(args, boot).unwrap();
            assert_eq!(config.controller, "https://10.23.0.1:8443");
            assert!(matches!(config.ticket, Ticket::Code(code) if code.to_string() == "7KQ-24M"));
        }
        let help = parse_as("fh", "boot --help").unwrap_err().to_string();
        assert!(
            help.contains("fh boot") && !help.contains("--token"),
            "{help}"
        );
        let help = parse_as("foghorn-client", "run --help")
            .unwrap_err()
            .to_string();
        assert!(help.contains("--token"), "{help}");
    }

    #[test]
    fn a_code_may_be_typed_in_pieces() {
        for line in [
            "boot 7kq 24m -c c",
            "boot -c c 7 K Q 2 4 M",
            "boot 7KQ-24M -c c",
        ] {
            let code = parse_as("fh", line).unwrap().code.unwrap();
            let code: ShortCode = code.parse().unwrap();
            assert_eq!(code.to_string(), "7KQ-24M", "{line}");
        }
        assert!(parse_as("fh", "boot -c c").is_err());
    }

    #[test]
    fn what_a_person_types_at_a_machine_is_short() {
        let line = "fh boot 7KQ-24M -c 192.168.100.100";
        assert!(line.len() <= 40);
        assert!(parse_as("fh", line.strip_prefix("fh ").unwrap()).is_ok());
    }

    #[test]
    fn a_code_and_a_token_are_too_much() {
        let args = parse_as("fh", "boot 7KQ-24M -c c --token fhb1.a.b").unwrap();
        let error = RunConfig::with_boot(args, BootSettings::default()).unwrap_err();
        assert!(matches!(error, ConfigError::CodeAndToken));
        let args = parse_as("fh", "boot 7UQ-24M -c c").unwrap();
        let error = RunConfig::with_boot(args, BootSettings::default()).unwrap_err();
        assert!(matches!(error, ConfigError::Code(_)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |args| {
            RunConfig::with_boot(args, BootSettings::default())
                .unwrap_err()
                .to_string()
        };
        assert!(with(RunArgs::default()).contains("--controller"));
        assert!(with(args()).contains("--token"));
        let token = || Some("fhb1.a.ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".to_owned());
        assert!(
            with(RunArgs {
                token: Some("fhj1.a.b".into()),
                ..args()
            })
            .contains("--token")
        );
        assert!(
            with(RunArgs {
                token: token(),
                disk: Some("sda".into()),
                ..args()
            })
            .contains("--disk")
        );
        assert!(
            with(RunArgs {
                token: token(),
                mac: Some("x".into()),
                ..args()
            })
            .contains("--mac")
        );
        assert!(
            with(RunArgs {
                token: token(),
                sector_size: Some(520),
                ..args()
            })
            .contains("--sector-size")
        );
    }
}
