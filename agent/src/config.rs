//! What an agent is told before it starts. Read and checked once; everything else trusts
//! [`Config`].

mod check;
mod cold;
mod file;
mod joining;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foghorn_proto::http::{JoinToken, ParseTokenError};
use foghorn_settings::Program;
use foghorn_types::{BitRate, ByteCount, NodeName, Timetable};

pub use self::cold::{ColdConfig, Credentials};
pub use self::file::ConfigFile;
pub use self::joining::{JoiningError, KnownAuthority, Offer, Ticket};
pub(crate) use self::joining::{fingerprint, known_authority, node_name};
use crate::controller_url::{ControllerUrl, ParseControllerUrlError};

/// Port of the QUIC listener when nothing else is said.
pub const DEFAULT_QUIC_PORT: u16 = 7472;

/// In seconds.
const DAY: u64 = 24 * 3600;
/// Defaults of `upkeep.check_every_days`, `upkeep.check` (25 MB in a second read a terabyte in half a
/// day) and `upkeep.verify`.
const CHECK_DAYS: u64 = 30;
const CHECK: &str = "200m";
const VERIFY: &str = "unlimited";
/// Defaults of `limits.…_mib`.
const READ_AHEAD_MIB: u32 = 64;
const WRITE_BEHIND_MIB: u32 = 64;
const KEEP_FREE_MIB: u32 = 64;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the node's identity and chunks. Created when it is missing.
    pub state_dir: PathBuf,
    /// Where to enrol. Not needed once the node has an identity.
    pub controller: Option<ControllerUrl>,
    /// Used once, when `state_dir` holds no identity yet.
    pub join_token: Option<JoinToken>,
    /// File with such a token, which is read for every attempt.
    pub join_token_file: Option<PathBuf>,
    /// Name of the node, where the token does not belong to one. `None`: that of the machine.
    pub name: Option<NodeName>,
    /// File with the token of the node's service account in a Kubernetes cluster, in place of a join
    /// token.
    pub service_account_token_file: Option<PathBuf>,
    /// Whom to trust with that token.
    pub authority: Option<KnownAuthority>,
    /// Address (UDP) on which clients are served. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// `host:port` that clients should use. `None`: the address that the system uses towards the
    /// controller, with the port that is listened on.
    pub advertise: Option<String>,
    /// `host:port` of a controller in the same process, which no file sets: the node is linked to it without
    /// a look-up of the name that others know it by.
    pub link_beside: Option<String>,
    /// Address (TCP) on which `/healthz` and `/readyz` are answered. `None`: nowhere.
    pub health_listen: Option<SocketAddr>,
    pub limits: Limits,
    pub upkeep: Upkeep,
    pub wake: WakeConfig,
    /// Cold copies of all images of the node; `None`: there are none.
    pub cold: Option<ColdConfig>,
    /// What is logged, unless a variable says it.
    pub log_filter: String,
    pub timing: Timing,
}

/// What sets the keys of [`ConfigFile`], beside a file.
pub const PROGRAM: Program = Program {
    command: "foghorn-agent run",
    about: "A storage node of Foghorn.",
    prefix: "FOGHORN_AGENT__",
    file: "/etc/foghorn/agent.toml",
    required: &["state_dir"],
};

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
    /// How long a node tries to be let in that may ask several times, while nobody says no.
    pub enrol_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            read_ahead: ByteCount::from_mib(READ_AHEAD_MIB),
            write_behind: ByteCount::from_mib(WRITE_BEHIND_MIB),
            disk_operations: 8,
            multicast_rate: None,
            keep_free: ByteCount::from_mib(KEEP_FREE_MIB),
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
            check: Timetable::with_pauses(CHECK).expect("the default is a timetable"),
            verify: Timetable::with_pauses(VERIFY).expect("the default is a timetable"),
            check_every: Some(Duration::from_secs(CHECK_DAYS * DAY)),
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
            enrol_within: Duration::from_secs(120),
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
            join_token_file: None,
            name: None,
            service_account_token_file: None,
            authority: None,
            listen: SocketAddr::from(([0, 0, 0, 0], DEFAULT_QUIC_PORT)),
            advertise: None,
            link_beside: None,
            health_listen: None,
            limits: Limits::default(),
            upkeep: Upkeep::default(),
            wake: WakeConfig::default(),
            cold: None,
            log_filter: foghorn_telemetry::DEFAULT_FILTER.to_owned(),
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
        Self::of_file(file)
    }

    /// Checks what file, variables and flags say together.
    ///
    /// # Errors
    /// When a value cannot be used, or nothing says where the data is. The message names the key.
    pub fn of_file(file: ConfigFile) -> Result<Self, LoadConfigError> {
        let missing = || LoadConfigError::Value {
            key: "state_dir",
            why: "is required: give --state-dir, the variable FOGHORN_AGENT__STATE_DIR, or a line \
                  in the file of --config"
                .to_owned(),
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
    #[error("it is not clear how this node is to be let in")]
    Joining(#[from] JoiningError),
    #[error("{key}: could not read {}", path.display())]
    File {
        key: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

impl LoadConfigError {
    /// The key that is at fault, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Value { key, .. } | Self::File { key, .. } => Some(key),
            Self::Controller(_) => Some("controller"),
            Self::JoinToken(_) => Some("join_token"),
            Self::Read { .. } | Self::Toml(_) | Self::Joining(_) => None,
        }
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
        assert_eq!(config.health_listen, None, "nobody is answered unasked");
    }

    #[test]
    fn every_complaint_names_its_key() {
        let base = "state_dir = '/srv/foghorn'\n";
        for (text, key) in [
            ("listn = '0.0.0.0:1'", "listn"),
            ("[health]\nlisten = 'everywhere'", "listen = 'everywhere'"),
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
