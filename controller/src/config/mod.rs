//! The configuration: turns a TOML file and a few flags into a checked [`Config`]. Nothing is read
//! after the start.

mod backup;
mod group_range;
mod images;
mod limits;
mod login;
mod machines;
mod multicast;
mod notifications;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foghorn_types::ByteCount;
use serde::Deserialize;

pub use self::backup::BackupConfig;
pub use self::group_range::{GroupRange, GroupRangeError};
pub use self::limits::Limits;
pub use self::login::{Allowance, LoginConfig};
pub(crate) use self::machines::machines_url;
pub use self::multicast::MulticastConfig;
pub use self::notifications::NotificationConfig;

use self::backup::RawBackup;
use self::images::RawImages;
pub use self::images::VersionConfig;
use self::limits::RawLimits;
use self::login::RawLogin;
use self::multicast::RawMulticast;
use self::notifications::RawNotifications;

use crate::store::etcd::{EtcdLogin, EtcdOptions, EtcdTls};
use crate::trust::Lifetimes;

/// Everything the controller needs to know before it opens a port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Contains the certificate authority (`ca/`) and the embedded store (`store.redb`).
    pub data_dir: PathBuf,
    pub store: StoreConfig,
    pub rest: RestConfig,
    pub link: LinkConfig,
    /// `host:port` of the link at which other controllers reach this one; default: its own address.
    pub peers_advertise: Option<String>,
    pub limits: Limits,
    pub tokens: TokenConfig,
    pub lifetimes: Lifetimes,
    pub login: LoginConfig,
    /// How long an entry of the audit log is kept. Default 400 days.
    pub audit_keep: Duration,
    pub snapins: SnapinConfig,
    /// Versions of images that were replaced.
    pub versions: VersionConfig,
    pub backup: BackupConfig,
    pub multicast: MulticastConfig,
    pub notifications: NotificationConfig,
    /// File for the credentials of the first start (mode 0600), instead of standard output.
    pub first_run_file: Option<PathBuf>,
    /// Whether the certificate authority may be another than the store knows. Only on the command
    /// line, for one start.
    pub new_authority: bool,
    /// Folder of plugins; default: `plugins` in the data directory.
    pub plugins_dir: Option<PathBuf>,
    /// Folder of the clients for download; default: that of the installation of this program.
    pub clients_dir: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// One file in the data directory.
    Embedded,
    Etcd(EtcdOptions),
}

#[derive(Clone, Debug)]
pub struct RestConfig {
    pub listen: SocketAddr,
    /// DNS names and IP addresses in the certificate, in addition to those of loopback.
    pub names: Vec<String>,
    /// Takes plain HTTP beside HTTPS, on the same port: for a proxy on the same machine, and for
    /// scripts that were written for a FOG server without TLS.
    pub plain_http: bool,
    /// Maximum number of open connections; further ones wait to be accepted.
    pub max_connections: usize,
    /// Maximum number of open connections of one address; further ones are refused.
    pub max_connections_per_address: usize,
    pub patience: Patience,
    /// How long requests are answered after the signal to stop, while other controllers are there:
    /// the time in which a balancer notices. Default 10 seconds.
    pub drain: Duration,
}

/// How long a client may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A connection without a request is closed after this time. Default 60 seconds.
    pub idle: Duration,
    /// A client that takes nothing of its answer is disconnected after this time. Default 30
    /// seconds.
    pub stuck: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            stuck: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// How often to look.
    pub(crate) fn check_every(self) -> Duration {
        (self.idle.min(self.stuck) / 4).clamp(Duration::from_millis(50), Duration::from_secs(5))
    }
}

#[derive(Clone, Debug)]
pub struct LinkConfig {
    pub listen: SocketAddr,
    /// `host:port` to which agents connect; default: the listening address.
    pub advertise: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct TokenConfig {
    /// Default lifetime of a boot token. Default 15 minutes.
    pub boot_ttl: Duration,
    /// Default lifetime of a join token. Default 24 hours.
    pub join_ttl: Duration,
}

/// Default of `audit.keep_days`.
const AUDIT_DAYS: u32 = 400;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Copy, Debug)]
pub struct SnapinConfig {
    /// Larger files are refused. Default 4 GiB.
    pub largest_file: ByteCount,
    /// How long a file to which no snapin refers stays on storage nodes. Default 1 hour.
    pub file_grace: Duration,
}

impl Default for SnapinConfig {
    fn default() -> Self {
        Self {
            largest_file: ByteCount::from_mib(4096),
            file_grace: Duration::from_secs(60 * 60),
        }
    }
}

/// Why the configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("could not read the configuration {path}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the configuration {path} is not valid", path = path.display())]
    Parse {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("configuration key `{key}`: {why}")]
    Value { key: &'static str, why: String },
}

impl Config {
    /// Loopback, ports chosen by the system, embedded store: what `foghorn serve` and tests start
    /// from.
    #[must_use]
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            data_dir: data_dir.into(),
            store: StoreConfig::Embedded,
            rest: RestConfig {
                listen,
                names: vec![],
                plain_http: false,
                max_connections: MAX_CONNECTIONS,
                max_connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
                patience: Patience::default(),
                drain: DRAIN,
            },
            link: LinkConfig {
                listen,
                advertise: None,
            },
            peers_advertise: None,
            limits: Limits::default(),
            tokens: TokenConfig::default(),
            lifetimes: Lifetimes::default(),
            login: LoginConfig::default(),
            audit_keep: DAY * AUDIT_DAYS,
            snapins: SnapinConfig::default(),
            versions: VersionConfig::default(),
            backup: BackupConfig::default(),
            multicast: MulticastConfig::default(),
            notifications: NotificationConfig::default(),
            first_run_file: None,
            new_authority: false,
            plugins_dir: None,
            clients_dir: None,
        }
    }

    /// # Errors
    /// When the file cannot be read, has an unknown key, or has an invalid value. The message names
    /// the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file: ConfigFile = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source,
        })?;
        let missing = || ConfigError::Value {
            key: "data_dir",
            why: "is required".to_owned(),
        };
        let data_dir = file.data_dir.clone().ok_or_else(missing)?;
        file.check(data_dir)
    }

    /// The plugin folder.
    #[must_use]
    pub fn plugins_folder(&self) -> PathBuf {
        self.plugins_dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("plugins"))
    }

    /// The folder of backups.
    #[must_use]
    pub fn backups_folder(&self) -> PathBuf {
        self.backup
            .folder
            .clone()
            .unwrap_or_else(|| self.data_dir.join("backups"))
    }

    /// The folder of the clients for download. An installation has programs in `PREFIX/bin` and the
    /// clients in `PREFIX/lib/foghorn/clients`.
    #[must_use]
    pub fn clients_folder(&self) -> PathBuf {
        let beside = || {
            let program = std::env::current_exe().ok()?;
            Some(program.parent()?.parent()?.join("lib/foghorn/clients"))
        };
        let usual = || PathBuf::from("/usr/lib/foghorn/clients");
        self.clients_dir
            .clone()
            .unwrap_or_else(|| beside().unwrap_or_else(usual))
    }

    /// Whether others on the network can read what callers send: tokens, passwords, everything.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.rest.plain_http && !self.rest.listen.ip().is_loopback()
    }
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            boot_ttl: Duration::from_secs(15 * 60),
            join_ttl: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The settings as a file has them: all of it, or a section of the file of `foghorn serve`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    data_dir: Option<PathBuf>,
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
/// Ten thousand slow clients must leave connections for the others.
const MAX_CONNECTIONS: usize = 16_384;
/// Balancers ask every few seconds, and believe the second or third answer.
const DRAIN: Duration = Duration::from_secs(10);
const LONGEST_DRAIN: u64 = 600;
/// More than the machines of a site that are imaged at once, since they may share an address.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1024;

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

    fn check(self, data_dir: PathBuf) -> Result<Config, ConfigError> {
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

fn seconds(
    key: &'static str,
    value: Option<u64>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    match value {
        None => Ok(default),
        Some(0) => Err(ConfigError::Value {
            key,
            why: "must be at least 1".to_owned(),
        }),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("controller.toml");
        std::fs::write(&path, text).unwrap();
        match Config::load(&path) {
            Ok(_) => "taken".to_owned(),
            Err(error @ ConfigError::Value { .. }) => error.to_string(),
            Err(error) => std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }

    #[test]
    fn every_complaint_names_its_key() {
        for (text, key) in [
            ("data_dir = '/x'\nspeed = 1", "speed"),
            ("data_dir = '/x'\n[rest]\nlisten = 'here'", "listen"),
            (
                "data_dir = '/x'\n[store]\nengine = 'etcd'",
                "store.endpoints",
            ),
            (
                "data_dir = '/x'\n[store]\nengine = 'etcd'\nendpoints = ['a:1']\n[store.login]\nuser = 'x'",
                "password file",
            ),
            (
                "data_dir = '/x'\n[store]\nengine = 'etcd'\nendpoints = ['http://a:1']\n[store.tls]\nca = '/x'",
                "https://",
            ),
            (
                "data_dir = '/x'\n[limits]\nstall_seconds = 0",
                "limits.stall_seconds",
            ),
            (
                "data_dir = '/x'\n[login]\nfailures_per_name = 0",
                "login.failures_per_name",
            ),
            (
                "data_dir = '/x'\n[login]\ntrusted_proxies = ['proxy']",
                "trusted_proxies",
            ),
            ("data_dir = '/x'\n[audit]\nkeep_days = 0", "audit.keep_days"),
            (
                "data_dir = '/x'\n[images]\nkeep_versions = 11",
                "images.keep_versions",
            ),
            (
                "data_dir = '/x'\n[images]\nkeep_days = 0",
                "images.keep_days",
            ),
            (
                "data_dir = '/x'\n[link]\nadvertise = 'nowhere'",
                "link.advertise",
            ),
            (
                "data_dir = '/x'\n[multicast]\nrange_v4 = '10.0.0.0/8'",
                "multicast.range_v4",
            ),
            (
                "data_dir = '/x'\n[multicast]\nrange_v4 = 'ff18::/112'",
                "multicast.range_v4",
            ),
            ("data_dir = '/x'\n[multicast]\nttl = 0", "multicast.ttl"),
            (
                "data_dir = '/x'\n[multicast]\nmax_rate = 'fast'",
                "multicast.max_rate",
            ),
            ("", "data_dir"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.contains(key), "{text:?}: {complaint:?}");
        }
    }

    #[test]
    fn a_short_file_is_enough() {
        assert_eq!(complaint("data_dir = '/x'"), "taken");
        assert_eq!(
            complaint("data_dir = '/x'\n[rest]\nlisten = '0.0.0.0:80'\nplain_http = true"),
            "taken"
        );
    }
}
