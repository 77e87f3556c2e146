//! The configuration: turns what a file, variables and flags say into a checked [`Config`]. After
//! the start, only `log.filter` is read again.

mod backup;
mod dialects;
mod file;
mod first_run;
mod group_range;
mod images;
mod kubernetes;
mod limits;
mod log;
mod login;
mod machines;
mod multicast;
mod notifications;
mod proxy;
mod rest;
mod store;
mod trust;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foghorn_settings::Program;
use foghorn_types::ByteCount;

pub use self::backup::BackupConfig;
pub use self::dialects::DialectConfig;
pub use self::file::ConfigFile;
pub use self::first_run::{FIRST_USER, GivenCredentials, SecretSource};
pub use self::group_range::{GroupRange, GroupRangeError};
pub use self::kubernetes::{AllowedAccount, KubernetesConfig, NameOf};
pub use self::limits::{Limits, MOST_SOURCES};
pub use self::login::{Allowance, LoginConfig};
pub(crate) use self::machines::machines_url;
pub use self::multicast::MulticastConfig;
pub use self::notifications::NotificationConfig;
pub(crate) use self::proxy::is_one_of;
pub use self::proxy::{ParseProxyError, TrustedProxy};
pub use self::trust::AuthorityConfig;

pub use self::images::VersionConfig;

use crate::store::etcd::EtcdOptions;
use crate::trust::Lifetimes;

/// Everything the controller needs to know before it opens a port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Contains the embedded store (`store.redb`) and, unless `authority` says otherwise, the
    /// certificate authority (`ca/`).
    pub data_dir: PathBuf,
    pub store: StoreConfig,
    pub rest: RestConfig,
    pub link: LinkConfig,
    /// `host:port` of the link at which other controllers reach this one; default: its own address.
    pub peers_advertise: Option<String>,
    pub limits: Limits,
    pub tokens: TokenConfig,
    pub lifetimes: Lifetimes,
    pub authority: AuthorityConfig,
    pub login: LoginConfig,
    /// How long an entry of the audit log is kept. Default 400 days.
    pub audit_keep: Duration,
    pub snapins: SnapinConfig,
    /// Versions of images that were replaced.
    pub versions: VersionConfig,
    pub backup: BackupConfig,
    pub multicast: MulticastConfig,
    pub notifications: NotificationConfig,
    /// Further APIs.
    pub dialects: DialectConfig,
    /// A cluster whose service-account tokens let agents in; `None`: none do.
    pub kubernetes: Option<KubernetesConfig>,
    /// File for the credentials of the first start (mode 0600), instead of standard output.
    pub first_run_file: Option<PathBuf>,
    /// Name of the first user. Default [`FIRST_USER`].
    pub first_user: String,
    /// Password and tokens of the first user, where somebody gives them. `None`: they are made.
    pub given: Option<GivenCredentials>,
    /// What is logged, unless a variable says it.
    pub log_filter: String,
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

/// Ten thousand slow clients must leave connections for the others.
const MAX_CONNECTIONS: usize = 16_384;
/// Balancers ask every few seconds, and believe the second or third answer.
const DRAIN: Duration = Duration::from_secs(10);
/// More than the machines of a site that are imaged at once, since they may share an address.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1024;
/// Default of `snapins.largest_file_mib`.
const SNAPIN_MIB: u32 = 4096;
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
            largest_file: ByteCount::from_mib(SNAPIN_MIB),
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

impl ConfigError {
    /// The key that is at fault, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Value { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// What sets the keys of [`ConfigFile`], beside a file.
pub const PROGRAM: Program = Program {
    command: "foghorn-controller run",
    about: "The controller of a Foghorn fleet.",
    prefix: "FOGHORN_CONTROLLER__",
    file: "/etc/foghorn/controller.toml",
    required: &["data_dir"],
};

impl Config {
    /// Loopback, ports chosen by the system, embedded store: what tests start from.
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
            authority: AuthorityConfig::default(),
            login: LoginConfig::default(),
            audit_keep: DAY * AUDIT_DAYS,
            snapins: SnapinConfig::default(),
            versions: VersionConfig::default(),
            backup: BackupConfig::default(),
            multicast: MulticastConfig::default(),
            notifications: NotificationConfig::default(),
            dialects: DialectConfig::default(),
            kubernetes: None,
            first_run_file: None,
            first_user: FIRST_USER.to_owned(),
            given: None,
            log_filter: foghorn_telemetry::DEFAULT_FILTER.to_owned(),
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
        Self::of_file(file)
    }

    /// Checks what file, variables and flags say together.
    ///
    /// # Errors
    /// When a value is invalid, or nothing says where the data is. The message names the key.
    pub fn of_file(file: ConfigFile) -> Result<Self, ConfigError> {
        let missing = || ConfigError::Value {
            key: "data_dir",
            why: "is required: give --data-dir, the variable FOGHORN_CONTROLLER__DATA_DIR, or a \
                  line in the file of --config"
                .to_owned(),
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
                "data_dir = '/x'\n[limits]\nsources_per_client = 9",
                "limits.sources_per_client",
            ),
            (
                "data_dir = '/x'\n[login]\nfailures_per_name = 0",
                "login.failures_per_name",
            ),
            (
                "data_dir = '/x'\n[login]\ntrusted_proxies = ['10.0.0.1', 'proxy']",
                "`login.trusted_proxies`: \"proxy\"",
            ),
            (
                "data_dir = '/x'\n[login]\ntrusted_proxies = ['10.244.0.0/16', '10.1.2.3/8']",
                "\"10.1.2.3/8\" is not a subnet",
            ),
            (
                "data_dir = '/x'\n[login]\ntrusted_proxies = ['::/0']",
                "login.trusted_proxies",
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
                "data_dir = '/x'\n[dialects.foundries]\ngateway_advertise = 'nowhere'",
                "dialects.foundries.gateway_advertise",
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
            (
                "data_dir = '/x'\n[trust]\nstore_key_file = '/k'",
                "trust.store_key_file",
            ),
            (
                "data_dir = '/x'\n[trust]\nstore_key_file = '/k'\nstore_key_command = ['k']",
                "trust.store_key_command",
            ),
            (
                "data_dir = '/x'\n[store]\nengine = 'etcd'\nendpoints = ['a:1']\n[trust]\nauthority_dir = '/ca'\nstore_key_command = ['k']",
                "trust.store_key_command",
            ),
            (
                "data_dir = '/x'\n[kubernetes]\nenrol = true",
                "kubernetes.allowed",
            ),
            ("", "data_dir"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.contains(key), "{text:?}: {complaint:?}");
        }
    }

    #[test]
    fn further_apis_are_off_unless_they_are_switched_on() {
        let is_on = |text: &str| {
            let file: ConfigFile = toml::from_str(text).unwrap();
            Config::of_file(file).unwrap().dialects.foundries
        };
        assert!(!is_on("data_dir = '/x'"));
        assert!(is_on(
            "data_dir = '/x'\n[dialects.foundries]\nenabled = true"
        ));
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
