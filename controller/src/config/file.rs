//! The form of the file, and how it becomes a checked [`Config`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use foghorn_types::ByteCount;
use serde::Deserialize;

use super::backup::RawBackup;
use super::images::RawImages;
use super::limits::RawLimits;
use super::login::RawLogin;
use super::multicast::RawMulticast;
use super::notifications::RawNotifications;
use super::{
    AUDIT_DAYS, Config, ConfigError, DAY, DRAIN, LinkConfig, MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS, Patience, RestConfig, SnapinConfig, StoreConfig, TokenConfig,
    seconds,
};
use crate::store::etcd::{EtcdLogin, EtcdOptions, EtcdTls};
use crate::trust::Lifetimes;

/// The settings as a file has them: all of it, or a section of the file of `foghorn serve`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    pub(super) data_dir: Option<PathBuf>,
    #[serde(default)]
    store: RawStore,
    #[serde(default)]
    rest: RawRest,
    #[serde(default)]
    link: RawLink,
    #[serde(default)]
    peers: RawPeers,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    tokens: RawTokens,
    #[serde(default)]
    trust: RawTrust,
    #[serde(default)]
    login: RawLogin,
    #[serde(default)]
    audit: RawAudit,
    #[serde(default)]
    snapins: RawSnapins,
    #[serde(default)]
    images: RawImages,
    #[serde(default)]
    backup: RawBackup,
    #[serde(default)]
    multicast: RawMulticast,
    #[serde(default)]
    notifications: RawNotifications,
    #[serde(default)]
    plugins: RawPlugins,
    #[serde(default)]
    clients: RawClients,
    first_run_file: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawPlugins {
    dir: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawClients {
    dir: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawStore {
    engine: Option<Engine>,
    #[serde(default)]
    endpoints: Vec<String>,
    tls: Option<EtcdTls>,
    login: Option<EtcdLogin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    Embedded,
    Etcd,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawRest {
    listen: Option<SocketAddr>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    plain_http: bool,
    max_connections: Option<usize>,
    max_connections_per_address: Option<usize>,
    idle_seconds: Option<u64>,
    stuck_seconds: Option<u64>,
    drain_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLink {
    listen: Option<SocketAddr>,
    advertise: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawPeers {
    advertise: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTokens {
    boot_seconds: Option<u64>,
    join_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSnapins {
    largest_file_mib: Option<u32>,
    file_grace_seconds: Option<u64>,
}

impl RawSnapins {
    fn check(self) -> Result<SnapinConfig, ConfigError> {
        let default = SnapinConfig::default();
        let largest_file = match self.largest_file_mib {
            None => default.largest_file,
            Some(mib) if (1..=1 << 24).contains(&mib) => ByteCount::from_mib(mib),
            Some(_) => {
                let why = "must be between 1 and 16777216".to_owned();
                return Err(ConfigError::Value {
                    key: "snapins.largest_file_mib",
                    why,
                });
            }
        };
        let file_grace = seconds(
            "snapins.file_grace_seconds",
            self.file_grace_seconds,
            default.file_grace,
        )?;
        Ok(SnapinConfig {
            largest_file,
            file_grace,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTrust {
    node_certificate_seconds: Option<u64>,
    server_certificate_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAudit {
    keep_days: Option<u32>,
}

impl RawAudit {
    fn check(&self) -> Result<Duration, ConfigError> {
        match self.keep_days {
            Some(0) => Err(ConfigError::Value {
                key: "audit.keep_days",
                why: "must be at least 1".to_owned(),
            }),
            days => Ok(DAY * days.unwrap_or(AUDIT_DAYS)),
        }
    }
}

/// Default ports.
const REST_PORT: u16 = 8443;
const LINK_PORT: u16 = 8444;
const LONGEST_DRAIN: u64 = 600;

impl ConfigFile {
    /// The settings of a controller that is a part of `foghorn serve`, which chooses where data is.
    ///
    /// # Errors
    /// When a value is invalid, or chosen by `foghorn serve`. The message names the key.
    pub fn for_site(self, data_dir: PathBuf) -> Result<Config, ConfigError> {
        let chosen = [
            ("data_dir", self.data_dir.is_some(), "state_dir"),
            (
                "first_run_file",
                self.first_run_file.is_some(),
                "first_run_file",
            ),
        ];
        if let Some((key, _, instead)) = chosen.into_iter().find(|(_, is_set, _)| *is_set) {
            let why = format!("`foghorn serve` has {instead} at the beginning of the file instead");
            return Err(ConfigError::Value { key, why });
        }
        self.check(data_dir)
    }

    pub(super) fn check(self, data_dir: PathBuf) -> Result<Config, ConfigError> {
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let (tokens, lifetimes) = (TokenConfig::default(), Lifetimes::default());
        let patience = Patience::default();
        Ok(Config {
            data_dir,
            store: self.store.check()?,
            rest: RestConfig {
                listen: self.rest.listen.unwrap_or(any(REST_PORT)),
                names: self.rest.names,
                plain_http: self.rest.plain_http,
                max_connections: at_least_one(
                    "rest.max_connections",
                    self.rest.max_connections.unwrap_or(MAX_CONNECTIONS),
                )?,
                max_connections_per_address: at_least_one(
                    "rest.max_connections_per_address",
                    self.rest
                        .max_connections_per_address
                        .unwrap_or(MAX_CONNECTIONS_PER_ADDRESS),
                )?,
                patience: Patience {
                    idle: seconds("rest.idle_seconds", self.rest.idle_seconds, patience.idle)?,
                    stuck: seconds(
                        "rest.stuck_seconds",
                        self.rest.stuck_seconds,
                        patience.stuck,
                    )?,
                },
                drain: drain(self.rest.drain_seconds)?,
            },
            link: LinkConfig {
                listen: self.link.listen.unwrap_or(any(LINK_PORT)),
                advertise: self.link.advertise.map(host_and_port).transpose()?,
            },
            peers_advertise: self.peers.advertise.map(host_and_port).transpose()?,
            limits: self.limits.check()?,
            tokens: TokenConfig {
                boot_ttl: seconds(
                    "tokens.boot_seconds",
                    self.tokens.boot_seconds,
                    tokens.boot_ttl,
                )?,
                join_ttl: seconds(
                    "tokens.join_seconds",
                    self.tokens.join_seconds,
                    tokens.join_ttl,
                )?,
            },
            lifetimes: Lifetimes {
                node: seconds(
                    "trust.node_certificate_seconds",
                    self.trust.node_certificate_seconds,
                    lifetimes.node,
                )?,
                server: seconds(
                    "trust.server_certificate_seconds",
                    self.trust.server_certificate_seconds,
                    lifetimes.server,
                )?,
            },
            login: self.login.check()?,
            audit_keep: self.audit.check()?,
            snapins: self.snapins.check()?,
            versions: self.images.check()?,
            backup: self.backup.check()?,
            multicast: self.multicast.check()?,
            notifications: self.notifications.check()?,
            first_run_file: self.first_run_file,
            new_authority: false,
            plugins_dir: self.plugins.dir,
            clients_dir: self.clients.dir,
        })
    }
}

/// 0 is allowed, as where nothing is before the controllers.
fn drain(seconds: Option<u64>) -> Result<Duration, ConfigError> {
    match seconds {
        None => Ok(DRAIN),
        Some(seconds) if seconds <= LONGEST_DRAIN => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(ConfigError::Value {
            key: "rest.drain_seconds",
            why: format!("must be at most {LONGEST_DRAIN}"),
        }),
    }
}

impl RawStore {
    fn check(self) -> Result<StoreConfig, ConfigError> {
        let wrong = |why: &str| ConfigError::Value {
            key: "store.endpoints",
            why: why.to_owned(),
        };
        match self.engine {
            None | Some(Engine::Embedded) if !self.endpoints.is_empty() => {
                Err(wrong("allowed only with the etcd engine"))
            }
            None | Some(Engine::Embedded) => Ok(StoreConfig::Embedded),
            Some(Engine::Etcd) if self.endpoints.is_empty() => {
                Err(wrong("the etcd engine requires at least one"))
            }
            Some(Engine::Etcd) => {
                let options = EtcdOptions {
                    endpoints: self.endpoints,
                    tls: self.tls,
                    login: self.login,
                };
                let key = "store";
                let checked = options.check();
                checked.map_err(|error| ConfigError::Value {
                    key,
                    why: error.to_string(),
                })?;
                Ok(StoreConfig::Etcd(options))
            }
        }
    }
}

fn at_least_one(key: &'static str, number: usize) -> Result<usize, ConfigError> {
    if number == 0 {
        Err(ConfigError::Value {
            key,
            why: "must be at least 1".to_owned(),
        })
    } else {
        Ok(number)
    }
}

fn host_and_port(text: String) -> Result<String, ConfigError> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if good {
        Ok(text)
    } else {
        Err(ConfigError::Value {
            key: "link.advertise",
            why: format!("{text:?} is not HOST:PORT"),
        })
    }
}
