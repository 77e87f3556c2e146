//! What an agent is told before it starts. Read and checked once; everything else trusts
//! [`Config`].

mod cold;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foghorn_proto::http::{JOIN_PREFIX, ParseTokenError, TokenText};
use foghorn_types::{BitRate, ByteCount, Timetable};
use serde::Deserialize;

pub use self::cold::{ColdConfig, Credentials};
use crate::controller_url::{ControllerUrl, ParseControllerUrlError};

/// Port of the QUIC listener when nothing else is said.
pub const DEFAULT_QUIC_PORT: u16 = 7472;

/// In seconds.
const DAY: u64 = 24 * 3600;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the node's identity and chunks. Created when it is missing.
    pub state_dir: PathBuf,
    /// Where to enrol. Not needed once the node has an identity.
    pub controller: Option<ControllerUrl>,
    /// Used once, when `state_dir` holds no identity yet.
    pub join_token: Option<TokenText>,
    /// Address (UDP) on which clients are served. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// `host:port` that clients should use. `None`: the address that the system uses towards the
    /// controller, with the port that is listened on.
    pub advertise: Option<String>,
    pub limits: Limits,
    pub upkeep: Upkeep,
    pub wake: WakeConfig,
    /// Cold copies of all images of the node; `None`: there are none.
    pub cold: Option<ColdConfig>,
    pub timing: Timing,
}

/// How hosts are woken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WakeConfig {
    /// Network interfaces through which broadcasts go. `None`: every one but the loopback
    /// interface.
    pub interfaces: Option<Vec<String>>,
    /// Addresses (UDP) that are sent to besides, such as the broadcast addresses of routed
    /// subnets.
    pub targets: Vec<SocketAddr>,
}

/// Upper bounds on what clients can make the agent hold. Memory follows from these and not from the
/// number of clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, waiting ones included. More are refused.
    pub connections: usize,
    /// Compressed chunks read from disk and not yet handed to the network, of all deploys
    /// together.
    pub read_ahead: ByteCount,
    /// Compressed chunks received and not yet durable, of all captures together.
    pub write_behind: ByteCount,
    /// Blocking disk operations at a time.
    pub disk_operations: usize,
    /// What all multicast sessions together may send, on the wire. `None`: each as fast as its
    /// group sustains.
    pub multicast_rate: Option<BitRate>,
    /// A capture fails instead of taking the file system below this.
    pub keep_free: ByteCount,
}

/// Periodic work on the store.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// How long a chunk that no image needs stays on disk. Also protects the chunks of a capture
    /// that is interrupted and taken up again.
    pub grace: Duration,
    /// Time between two sweeps.
    pub sweep_every: Duration,
    /// How fast everything is checked, by the time of the day in the time zone of the machine.
    pub check: Timetable,
    /// The same for what does not count until it was verified again.
    pub verify: Timetable,
    /// Time between two checks of everything; `None`: only what has to be is checked.
    pub check_every: Option<Duration>,
}

/// How often and how long, for everything that is not a limit. Tests shorten some of these.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two `NodeStatus` messages.
    pub status_every: Duration,
    /// Between two progress messages of one transfer.
    pub progress_every: Duration,
    /// How long a client may wait for the controller's word about it. The order and the client
    /// travel different ways.
    pub admission_wait: Duration,
    /// How long the outcome of a session is remembered after the controller has recorded it, for a
    /// client whose connection broke just then.
    pub outcome_kept: Duration,
    /// How long a client that is done waits for the controller's word that this is recorded. Longer
    /// than a restart or an upgrade of the controller takes.
    pub confirm_within: Duration,
    /// How long a client waits for a chunk that is damaged here and comes from another node.
    pub heal_within: Duration,
    /// First and longest wait between two attempts to reach the controller.
    pub redial: (Duration, Duration),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            read_ahead: ByteCount::from_mib(64),
            write_behind: ByteCount::from_mib(64),
            disk_operations: 8,
            multicast_rate: None,
            keep_free: ByteCount::from_mib(64),
        }
    }
}

impl Upkeep {
    /// How fast everything is checked; `urgent`: because something does not count until it was.
    pub(crate) fn budget(&self, urgent: bool) -> &Timetable {
        if urgent { &self.verify } else { &self.check }
    }
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3600),
            sweep_every: Duration::from_secs(3600),
            // 25 MB in a second read a terabyte in half a day.
            check: Timetable::always(BitRate::from_mbit(200)),
            verify: Timetable::unlimited(),
            check_every: Some(Duration::from_secs(30 * DAY)),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            status_every: Duration::from_secs(3),
            progress_every: Duration::from_secs(1),
            admission_wait: Duration::from_secs(2),
            outcome_kept: Duration::from_secs(120),
            confirm_within: Duration::from_secs(15 * 60),
            heal_within: Duration::from_secs(60),
            redial: (Duration::from_millis(250), Duration::from_secs(10)),
        }
    }
}

impl Config {
    /// All defaults, listening on every address at [`DEFAULT_QUIC_PORT`].
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            controller: None,
            join_token: None,
            listen: SocketAddr::from(([0, 0, 0, 0], DEFAULT_QUIC_PORT)),
            advertise: None,
            limits: Limits::default(),
            upkeep: Upkeep::default(),
            wake: WakeConfig::default(),
            cold: None,
            timing: Timing::default(),
        }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, has a key that nobody reads, or a value that
    /// cannot be used.
    pub fn load(path: &Path) -> Result<Self, LoadConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| LoadConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text)
    }

    /// # Errors
    /// As [`Config::load`], without the reading.
    pub fn from_toml(text: &str) -> Result<Self, LoadConfigError> {
        let file: ConfigFile =
            toml::from_str(text).map_err(|source| LoadConfigError::Toml(Box::new(source)))?;
        let missing = || LoadConfigError::Value {
            key: "state_dir",
            why: "is required".to_owned(),
        };
        let state_dir = file.state_dir.clone().ok_or_else(missing)?;
        file.check(state_dir)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadConfigError {
    #[error("could not read the configuration {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the configuration is not valid")]
    Toml(#[source] Box<toml::de::Error>),
    #[error("{key}: {why}")]
    Value { key: &'static str, why: String },
    #[error("controller: this address is not valid")]
    Controller(#[source] ParseControllerUrlError),
    #[error("join_token: this token is not valid")]
    JoinToken(#[source] ParseTokenError),
}

/// The settings as a file has them: all of it, or a section of the file of `foghorn serve`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    state_dir: Option<PathBuf>,
    controller: Option<String>,
    join_token: Option<String>,
    listen: Option<SocketAddr>,
    advertise: Option<String>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    upkeep: RawUpkeep,
    #[serde(default)]
    wake: RawWake,
    cold: Option<cold::RawCold>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawWake {
    interfaces: Option<Vec<String>>,
    #[serde(default)]
    targets: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    connections: Option<usize>,
    read_ahead_mib: Option<u32>,
    write_behind_mib: Option<u32>,
    disk_operations: Option<usize>,
    keep_free_mib: Option<u32>,
    multicast_mbit: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawUpkeep {
    grace_seconds: Option<u64>,
    sweep_every_seconds: Option<u64>,
    check: Option<String>,
    verify: Option<String>,
    check_every_days: Option<u64>,
}

impl ConfigFile {
    /// The settings of a node that is a part of `foghorn serve`, which enrols it and chooses where
    /// its data is.
    ///
    /// # Errors
    /// When a value is invalid, or chosen by `foghorn serve`. The message names the key.
    pub fn for_site(self, state_dir: PathBuf) -> Result<Config, LoadConfigError> {
        let chosen = [
            ("state_dir", self.state_dir.is_some()),
            ("controller", self.controller.is_some()),
            ("join_token", self.join_token.is_some()),
        ];
        if let Some((key, _)) = chosen.into_iter().find(|(_, is_set)| *is_set) {
            let why = "`foghorn serve` chooses it for its own storage node: leave it out";
            return Err(LoadConfigError::Value {
                key,
                why: why.to_owned(),
            });
        }
        self.check(state_dir)
    }

    fn check(self, state_dir: PathBuf) -> Result<Config, LoadConfigError> {
        let mut config = Config::new(state_dir);
        config.controller = self
            .controller
            .map(|url| url.parse())
            .transpose()
            .map_err(LoadConfigError::Controller)?;
        config.join_token = self
            .join_token
            .map(|text| TokenText::parse(JOIN_PREFIX, &text))
            .transpose()
            .map_err(LoadConfigError::JoinToken)?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.advertise = self.advertise.map(check_advertise).transpose()?;
        config.limits = self.limits.check()?;
        config.upkeep = self.upkeep.check()?;
        config.wake = self.wake.check()?;
        config.cold = self.cold.map(cold::RawCold::check).transpose()?;
        Ok(config)
    }
}

impl RawLimits {
    fn check(self) -> Result<Limits, LoadConfigError> {
        let default = Limits::default();
        let mib = |value: Option<u32>, key, least: u32, default| match value {
            Some(found) if found < least => Err(LoadConfigError::Value {
                key,
                why: format!("{found} is too little, at least {least}"),
            }),
            Some(found) => Ok(ByteCount::from_mib(found)),
            None => Ok(default),
        };
        let count = |value: Option<usize>, key, default| match value {
            Some(0) => Err(LoadConfigError::Value {
                key,
                why: "0 would serve nobody".to_owned(),
            }),
            Some(found) => Ok(found),
            None => Ok(default),
        };
        Ok(Limits {
            connections: count(self.connections, "limits.connections", default.connections)?,
            read_ahead: mib(
                self.read_ahead_mib,
                "limits.read_ahead_mib",
                4,
                default.read_ahead,
            )?,
            write_behind: mib(
                self.write_behind_mib,
                "limits.write_behind_mib",
                4,
                default.write_behind,
            )?,
            disk_operations: count(
                self.disk_operations,
                "limits.disk_operations",
                default.disk_operations,
            )?,
            multicast_rate: match self.multicast_mbit {
                Some(0) => {
                    let why = "0 would send nothing".to_owned();
                    return Err(LoadConfigError::Value {
                        key: "limits.multicast_mbit",
                        why,
                    });
                }
                rate => rate.map(BitRate::from_mbit),
            },
            keep_free: mib(
                self.keep_free_mib,
                "limits.keep_free_mib",
                0,
                default.keep_free,
            )?,
        })
    }
}

impl RawUpkeep {
    fn check(self) -> Result<Upkeep, LoadConfigError> {
        let default = Upkeep::default();
        if self.sweep_every_seconds == Some(0) {
            let why = "0 would sweep without a pause".to_owned();
            return Err(LoadConfigError::Value {
                key: "upkeep.sweep_every_seconds",
                why,
            });
        }
        Ok(Upkeep {
            grace: self
                .grace_seconds
                .map_or(default.grace, Duration::from_secs),
            sweep_every: self
                .sweep_every_seconds
                .map_or(default.sweep_every, Duration::from_secs),
            check: timetable(self.check.as_deref(), "upkeep.check", default.check)?,
            verify: timetable(self.verify.as_deref(), "upkeep.verify", default.verify)?,
            check_every: match self.check_every_days {
                None => default.check_every,
                Some(0) => None,
                Some(days) => Some(Duration::from_secs(days.saturating_mul(DAY))),
            },
        })
    }
}

fn timetable(
    text: Option<&str>,
    key: &'static str,
    default: Timetable,
) -> Result<Timetable, LoadConfigError> {
    let read = text.map_or(Ok(default), Timetable::with_pauses);
    read.map_err(|error| LoadConfigError::Value {
        key,
        why: error.to_string(),
    })
}

/// Port of a target that names none.
const WAKE_PORT: u16 = 9;

impl RawWake {
    fn check(self) -> Result<WakeConfig, LoadConfigError> {
        let mut names = self.interfaces.iter().flatten();
        if let Some(name) =
            names.find(|name| name.is_empty() || name.len() > 15 || name.contains('/'))
        {
            let why = format!("{name:?} is not the name of a network interface");
            return Err(LoadConfigError::Value {
                key: "wake.interfaces",
                why,
            });
        }
        let target = |text: String| {
            let whole = text.parse().or_else(|_| {
                text.parse::<std::net::IpAddr>()
                    .map(|ip| (ip, WAKE_PORT).into())
            });
            whole.map_err(|_| LoadConfigError::Value {
                key: "wake.targets",
                why: format!("{text:?} is neither an IP address nor ADDRESS:PORT"),
            })
        };
        let targets = self
            .targets
            .into_iter()
            .map(target)
            .collect::<Result<_, _>>()?;
        Ok(WakeConfig {
            interfaces: self.interfaces,
            targets,
        })
    }
}

fn check_advertise(text: String) -> Result<String, LoadConfigError> {
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if fits {
        Ok(text)
    } else {
        Err(LoadConfigError::Value {
            key: "advertise",
            why: format!("{text:?} is not HOST:PORT"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let error = Config::from_toml(text).unwrap_err();
        let source = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{error}: {source}")
    }

    #[test]
    fn a_small_file_is_enough() {
        let config = Config::from_toml(
            "state_dir = '/srv/foghorn'\ncontroller = 'https://fog.example:8443'",
        )
        .unwrap();
        assert_eq!(config.listen.port(), DEFAULT_QUIC_PORT);
        assert_eq!(config.limits.read_ahead, ByteCount::from_mib(64));
    }

    #[test]
    fn every_complaint_names_its_key() {
        let base = "state_dir = '/srv/foghorn'\n";
        for (text, key) in [
            ("listn = '0.0.0.0:1'", "listn"),
            ("controller = 'http://fog.example'", "controller"),
            ("join_token = 'nonsense'", "join_token"),
            ("advertise = 'fog.example'", "advertise"),
            ("[limits]\nread_ahead_mib = 1", "limits.read_ahead_mib"),
            ("[limits]\nconnections = 0", "limits.connections"),
            (
                "[upkeep]\nsweep_every_seconds = 0",
                "upkeep.sweep_every_seconds",
            ),
            ("[upkeep]\ngrace = 5", "grace"),
            ("[wake]\ntargets = ['fog.example']", "wake.targets"),
            ("[wake]\ninterfaces = ['a/b']", "wake.interfaces"),
        ] {
            let said = refusal(&format!("{base}{text}"));
            assert!(said.contains(key), "{text:?} gave {said:?}");
        }
    }
}
