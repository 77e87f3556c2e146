//! The form of the file, and how it becomes a checked [`Config`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use foghorn_proto::http::JoinToken;
use foghorn_telemetry::{DEFAULT_FILTER, check_filter};
use foghorn_types::{BitRate, ByteCount, NodeName, Timetable, chain};
use schemars::JsonSchema;
use serde::Deserialize;

use super::cold::RawCold;
use super::{
    CHECK, CHECK_DAYS, Config, DAY, DEFAULT_QUIC_PORT, KEEP_FREE_MIB, Limits, LoadConfigError,
    READ_AHEAD_MIB, Upkeep, VERIFY, WRITE_BEHIND_MIB, WakeConfig, fingerprint, known_authority,
    node_name,
};

/// The settings as a file has them: all of it, or a section of the file of `foghorn serve`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Folder of the node's identity and images.
    #[schemars(extend("examples" = ["/var/lib/foghorn/agent"]))]
    pub(super) state_dir: Option<PathBuf>,
    /// `https://HOST[:PORT]` of the controller, to enrol there. Not needed once the node has an
    /// identity.
    #[schemars(extend("examples" = ["https://foghorn.example.org:8443"]))]
    controller: Option<String>,
    /// Token from `foghorn node join-token NAME`. Used once, when the node has no identity yet.
    #[schemars(extend("examples" = ["fhj1.…"], "writeOnly" = true))]
    join_token: Option<String>,
    /// File with that token, in place of it. Read when it is needed.
    #[schemars(extend("examples" = ["/etc/foghorn/join-token"]))]
    join_token_file: Option<PathBuf>,
    /// Name of the node, with a token for many nodes or of a service account; dots become hyphens.
    /// Default: the name of the machine.
    #[schemars(extend("examples" = ["store-1"]))]
    name: Option<String>,
    /// File with the token of a Kubernetes service account, in place of `join_token`.
    #[schemars(extend("examples" = ["/var/run/secrets/foghorn/token"]))]
    service_account_token_file: Option<PathBuf>,
    /// File with the certificate of the controller's authority (PEM), with the token of a service
    /// account.
    #[schemars(extend("examples" = ["/etc/foghorn/ca.pem"]))]
    ca_file: Option<PathBuf>,
    /// SHA-256 of that certificate, in place of the file.
    #[schemars(extend("examples" = ["ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"]))]
    ca_fingerprint: Option<String>,
    /// Address and port on which clients are served (QUIC, UDP).
    #[schemars(extend("default" = default_listen()))]
    listen: Option<SocketAddr>,
    /// `HOST:PORT` to which clients connect. Default: every address of this machine, that of the
    /// interface that reaches the controller first.
    #[schemars(extend("examples" = ["10.23.0.1:7472"]))]
    advertise: Option<String>,
    #[serde(default)]
    health: RawHealth,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    upkeep: RawUpkeep,
    #[serde(default)]
    wake: RawWake,
    cold: Option<RawCold>,
    #[serde(default)]
    log: RawLog,
}

/// Who may ask how the node is, by HTTP.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawHealth {
    /// Address and port (TCP, without TLS) on which `/healthz` and `/readyz` are answered, to
    /// everybody. Default: nowhere.
    #[schemars(extend("examples" = ["127.0.0.1:7473"]))]
    listen: Option<SocketAddr>,
}

/// How machines are woken.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawWake {
    /// Network interfaces through which broadcasts go; `[]`: none. Default: all but the loopback
    /// interface.
    #[schemars(extend("examples" = [["eth1"]]))]
    interfaces: Option<Vec<String>>,
    /// Further addresses, as `IP` or `IP:PORT` (port 9 unless it is given), such as the broadcast
    /// addresses of routed subnets.
    #[serde(default)]
    targets: Vec<String>,
}

/// What clients can make the node hold at most.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    /// Clients at a time.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Limits::default().connections))]
    connections: Option<usize>,
    /// Compressed chunks that are read and not yet sent, of all deploys together. In MiB.
    #[schemars(range(min = LEAST_MIB))]
    #[schemars(extend("default" = READ_AHEAD_MIB))]
    read_ahead_mib: Option<u32>,
    /// Compressed chunks that are received and not yet durable, of all captures together. In MiB.
    #[schemars(range(min = LEAST_MIB))]
    #[schemars(extend("default" = WRITE_BEHIND_MIB))]
    write_behind_mib: Option<u32>,
    /// Disk operations at a time.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Limits::default().disk_operations))]
    disk_operations: Option<usize>,
    /// A capture fails rather than leave less free space than this, in MiB.
    #[schemars(extend("default" = KEEP_FREE_MIB))]
    keep_free_mib: Option<u32>,
    /// Mbit/s on the wire for all multicast sessions together, which share it equally. Default: each
    /// as fast as its group sustains.
    #[schemars(range(min = 1))]
    #[schemars(extend("examples" = [900]))]
    multicast_mbit: Option<u32>,
}

/// Periodic work on what is stored.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawUpkeep {
    /// Seconds for which a chunk that no image needs is kept.
    #[schemars(extend("default" = Upkeep::default().grace.as_secs()))]
    grace_seconds: Option<u64>,
    /// Seconds between two looks for such chunks.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Upkeep::default().sweep_every.as_secs()))]
    sweep_every_seconds: Option<u64>,
    /// How fast everything that is stored is checked, in bits per second, by the time of the day:
    /// such as `22:00-06:00 800m, else off`.
    #[schemars(extend("default" = CHECK))]
    check: Option<String>,
    /// Days from the end of one check to the next one; 0: never.
    #[schemars(extend("default" = CHECK_DAYS))]
    check_every_days: Option<u64>,
    /// The same as `check` for what has to be read again before it counts, as after a power cut.
    #[schemars(extend("default" = VERIFY))]
    verify: Option<String>,
}

/// What is logged. SIGHUP reads it again.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawLog {
    /// Directives such as `info,foghorn_agent=debug`. The variable FOGHORN_LOG takes precedence.
    #[schemars(extend("default" = DEFAULT_FILTER))]
    filter: Option<String>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], DEFAULT_QUIC_PORT))
}

/// Less would hold no chunk of every client.
const LEAST_MIB: u32 = 4;

impl ConfigFile {
    /// Keys that a section of the file of `foghorn serve` must not have.
    pub const CHOSEN_BY_SITE: [&'static str; 9] = [
        "state_dir",
        "controller",
        "join_token",
        "join_token_file",
        "name",
        "service_account_token_file",
        "ca_file",
        "ca_fingerprint",
        "log",
    ];

    /// The settings of a node that is a part of `foghorn serve`, which enrols it and chooses where
    /// its data is.
    ///
    /// # Errors
    /// When a value is invalid, or chosen by `foghorn serve`. The message names the key.
    pub fn for_site(self, state_dir: PathBuf) -> Result<Config, LoadConfigError> {
        let is_set = [
            self.state_dir.is_some(),
            self.controller.is_some(),
            self.join_token.is_some(),
            self.join_token_file.is_some(),
            self.name.is_some(),
            self.service_account_token_file.is_some(),
            self.ca_file.is_some(),
            self.ca_fingerprint.is_some(),
            self.log.filter.is_some(),
        ];
        let mut chosen = Self::CHOSEN_BY_SITE.into_iter().zip(is_set);
        if let Some((key, _)) = chosen.find(|(_, is_set)| *is_set) {
            let why = "`foghorn serve` chooses it for its own storage node: leave it out";
            return Err(LoadConfigError::Value {
                key,
                why: why.to_owned(),
            });
        }
        self.check(state_dir)
    }

    pub(super) fn check(self, state_dir: PathBuf) -> Result<Config, LoadConfigError> {
        let mut config = Config::new(state_dir);
        config.controller = self
            .controller
            .map(|url| url.parse())
            .transpose()
            .map_err(LoadConfigError::Controller)?;
        config.join_token = self
            .join_token
            .map(|text| JoinToken::parse(&text))
            .transpose()
            .map_err(LoadConfigError::JoinToken)?;
        config.join_token_file = self.join_token_file;
        config.name = self.name.map(|text| checked_name(&text)).transpose()?;
        config.service_account_token_file = self.service_account_token_file;
        let ca_fingerprint = self.ca_fingerprint.map(|text| fingerprint(&text));
        let ca_fingerprint = ca_fingerprint.transpose().map_err(|why| {
            let key = "ca_fingerprint";
            LoadConfigError::Value { key, why }
        })?;
        config.authority = known_authority(self.ca_file, ca_fingerprint)?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.advertise = self.advertise.map(check_advertise).transpose()?;
        config.health_listen = self.health.listen;
        config.limits = self.limits.check()?;
        config.upkeep = self.upkeep.check()?;
        config.wake = self.wake.check()?;
        config.cold = self.cold.map(RawCold::check).transpose()?;
        if let Some(filter) = self.log.filter {
            check_filter(&filter).map_err(|error| LoadConfigError::Value {
                key: "log.filter",
                why: chain(&error).to_string(),
            })?;
            config.log_filter = filter;
        }
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
                LEAST_MIB,
                default.read_ahead,
            )?,
            write_behind: mib(
                self.write_behind_mib,
                "limits.write_behind_mib",
                LEAST_MIB,
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

fn checked_name(text: &str) -> Result<NodeName, LoadConfigError> {
    node_name(text).map_err(|error| LoadConfigError::Value {
        key: "name",
        why: error.to_string(),
    })
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
