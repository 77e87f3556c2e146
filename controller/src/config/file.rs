//! The form of the file, and how it becomes a checked [`Config`].

use std::path::PathBuf;
use std::time::Duration;

use foghorn_types::ByteCount;
use schemars::JsonSchema;
use serde::Deserialize;

use super::backup::RawBackup;
use super::dialects::RawDialects;
use super::first_run::RawFirstRun;
use super::images::RawImages;
use super::kubernetes::RawKubernetes;
use super::limits::RawLimits;
use super::log::RawLog;
use super::login::RawLogin;
use super::multicast::RawMulticast;
use super::notifications::RawNotifications;
use super::rest::{RawLink, RawPeers, RawRest};
use super::store::RawStore;
use super::trust::RawTrust;
use super::{AUDIT_DAYS, Config, ConfigError, DAY, SNAPIN_MIB, SnapinConfig, TokenConfig, seconds};

/// The settings as a file has them: all of it, or a section of the file of `foghorn serve`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Folder of the state: the embedded store, the certificate authority, backups.
    #[schemars(extend("examples" = ["/var/lib/foghorn/controller"]))]
    pub(super) data_dir: Option<PathBuf>,
    /// The first start writes the first user and its tokens to this file (JSON, mode 0600) instead
    /// of showing them on the terminal.
    #[schemars(extend("examples" = ["/var/lib/foghorn/controller/first-run.json"]))]
    first_run_file: Option<PathBuf>,
    #[serde(default)]
    first_run: RawFirstRun,
    #[serde(default)]
    log: RawLog,
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
    dialects: RawDialects,
    #[serde(default)]
    kubernetes: RawKubernetes,
    #[serde(default)]
    plugins: RawPlugins,
    #[serde(default)]
    clients: RawClients,
}

/// Scripts that change answers and add classes.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawPlugins {
    /// Their folder, which is read every two seconds. Default: `plugins` in the data directory.
    #[schemars(extend("examples" = ["/etc/foghorn/plugins"]))]
    dir: Option<PathBuf>,
}

/// The client for download.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawClients {
    /// Folder of the clients. Default: `lib/foghorn/clients` beside the folder of the programs.
    #[schemars(extend("examples" = ["/usr/lib/foghorn/clients"]))]
    dir: Option<PathBuf>,
}

/// Tokens that are used once.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawTokens {
    /// Seconds for which a boot token is good, with which a machine gets its task.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = TokenConfig::default().boot_ttl.as_secs()))]
    boot_seconds: Option<u64>,
    /// Seconds for which a join token is good, with which a storage node enrols.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = TokenConfig::default().join_ttl.as_secs()))]
    join_seconds: Option<u64>,
}

/// Files of snapins.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawSnapins {
    /// Larger files are refused. In MiB.
    #[schemars(range(min = 1, max = MOST_SNAPIN_MIB))]
    #[schemars(extend("default" = SNAPIN_MIB))]
    largest_file_mib: Option<u32>,
    /// Seconds for which a file to which no snapin refers stays on storage nodes.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = SnapinConfig::default().file_grace.as_secs()))]
    file_grace_seconds: Option<u64>,
}

const MOST_SNAPIN_MIB: u32 = 1 << 24;

impl RawSnapins {
    fn check(self) -> Result<SnapinConfig, ConfigError> {
        let default = SnapinConfig::default();
        let largest_file = match self.largest_file_mib {
            None => default.largest_file,
            Some(mib) if (1..=MOST_SNAPIN_MIB).contains(&mib) => ByteCount::from_mib(mib),
            Some(_) => {
                let why = format!("must be between 1 and {MOST_SNAPIN_MIB}");
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

/// The audit log.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawAudit {
    /// Days for which its entries are kept, and dated rows of FOG's logs (`history`, `tasklog`,
    /// `usertracking`), which are also kept in memory.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = AUDIT_DAYS))]
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

impl ConfigFile {
    /// Keys that a section of the file of `foghorn serve` must not have, and what that has instead.
    pub const CHOSEN_BY_SITE: [(&'static str, &'static str); 3] = [
        ("data_dir", "state_dir"),
        ("first_run_file", "first_run_file"),
        ("log", "[log]"),
    ];

    /// The settings of a controller that is a part of `foghorn serve`, which chooses where data is.
    ///
    /// # Errors
    /// When a value is invalid, or chosen by `foghorn serve`. The message names the key.
    pub fn for_site(self, data_dir: PathBuf) -> Result<Config, ConfigError> {
        let is_set = [
            self.data_dir.is_some(),
            self.first_run_file.is_some(),
            self.log.is_set(),
        ];
        let mut chosen = Self::CHOSEN_BY_SITE.into_iter().zip(is_set);
        if let Some(((key, instead), _)) = chosen.find(|(_, is_set)| *is_set) {
            let why = format!("`foghorn serve` has {instead} at the beginning of the file instead");
            return Err(ConfigError::Value { key, why });
        }
        self.check(data_dir)
    }

    pub(super) fn check(self, data_dir: PathBuf) -> Result<Config, ConfigError> {
        let tokens = TokenConfig::default();
        let (first_user, given) = self.first_run.check()?;
        let store = self.store.check()?;
        let lifetimes = self.trust.lifetimes()?;
        let authority = self.trust.authority(&store)?;
        Ok(Config {
            data_dir,
            store,
            rest: self.rest.check()?,
            link: self.link.check()?,
            peers_advertise: self.peers.check()?,
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
            lifetimes,
            authority,
            login: self.login.check()?,
            audit_keep: self.audit.check()?,
            snapins: self.snapins.check()?,
            versions: self.images.check()?,
            backup: self.backup.check()?,
            multicast: self.multicast.check()?,
            notifications: self.notifications.check()?,
            dialects: self.dialects.check()?,
            kubernetes: self.kubernetes.check()?,
            first_run_file: self.first_run_file,
            first_user,
            given,
            log_filter: self.log.check()?,
            new_authority: false,
            plugins_dir: self.plugins.dir,
            clients_dir: self.clients.dir,
        })
    }
}
