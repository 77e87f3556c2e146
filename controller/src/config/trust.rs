//! `[trust]`: where the certificate authority is, and how long certificates are good for.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, StoreConfig, seconds};
use crate::trust::{Keeping, KeySource, Lifetimes, StoreKeyError};

/// Name of the authority's folder in a data directory.
const OWN_FOLDER: &str = "ca";

/// Where the certificate authority is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum AuthorityConfig {
    /// In `ca/` of the data directory.
    #[default]
    Own,
    /// In a folder that others fill.
    Given(PathBuf),
    /// In the store, encrypted with this key.
    Store(KeySource),
}

impl AuthorityConfig {
    /// Reads the key, if there is one.
    ///
    /// # Errors
    /// When there is no such key.
    pub async fn keeping(&self, data_dir: &Path) -> Result<Keeping, StoreKeyError> {
        let own = data_dir.join(OWN_FOLDER);
        Ok(match self {
            Self::Own => Keeping::Own(own),
            Self::Given(folder) => Keeping::Given(folder.clone()),
            Self::Store(source) => Keeping::Store {
                key: source.read().await?,
                before: own,
            },
        })
    }
}

/// The certificate authority, and its certificates, which are renewed by themselves.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrust {
    /// Folder of the certificate authority, which is never written: `ca.pem` and `ca.key`, or
    /// `tls.crt` and `tls.key`. Default: `ca` in the data directory, where one is made.
    #[schemars(extend("examples" = ["/etc/foghorn/ca"]))]
    authority_dir: Option<PathBuf>,
    /// File with a key of at least 32 characters, with which the certificate authority is encrypted
    /// in the store. Only with etcd.
    #[schemars(extend("examples" = ["/etc/foghorn/store-key"]))]
    store_key_file: Option<PathBuf>,
    /// In place of a file: a program and its arguments, which prints the key within 30 seconds.
    #[schemars(extend("examples" = [["vault", "kv", "get", "-field=key", "secret/foghorn"]]))]
    store_key_command: Option<Vec<String>>,
    /// Seconds for which the certificate of a storage node is good.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Lifetimes::default().node.as_secs()))]
    node_certificate_seconds: Option<u64>,
    /// Seconds for which the certificate of the controller is good.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Lifetimes::default().server.as_secs()))]
    server_certificate_seconds: Option<u64>,
}

impl RawTrust {
    pub(super) fn lifetimes(&self) -> Result<Lifetimes, ConfigError> {
        let default = Lifetimes::default();
        Ok(Lifetimes {
            node: seconds(
                "trust.node_certificate_seconds",
                self.node_certificate_seconds,
                default.node,
            )?,
            server: seconds(
                "trust.server_certificate_seconds",
                self.server_certificate_seconds,
                default.server,
            )?,
            device: default.device,
        })
    }

    pub(super) fn authority(self, store: &StoreConfig) -> Result<AuthorityConfig, ConfigError> {
        let command = self.store_key_command.filter(|words| !words.is_empty());
        let refuse = |key, why: &str| {
            let why = why.to_owned();
            Err(ConfigError::Value { key, why })
        };
        let (key, source) = match (self.store_key_file, command) {
            (Some(_), Some(_)) => {
                return refuse(
                    "trust.store_key_command",
                    "trust.store_key_file is set, too: the key comes from one of them",
                );
            }
            (None, None) => {
                return Ok(self
                    .authority_dir
                    .map_or(AuthorityConfig::Own, AuthorityConfig::Given));
            }
            (Some(file), None) => ("trust.store_key_file", KeySource::File(file)),
            (None, Some(words)) => ("trust.store_key_command", KeySource::Command(words)),
        };
        if self.authority_dir.is_some() {
            return refuse(
                key,
                "trust.authority_dir is set, too: the authority is in that folder or in the store",
            );
        }
        // One box loses its store and its authority together, and would begin anew in silence.
        if matches!(store, StoreConfig::Embedded) {
            return refuse(key, "allowed only with the etcd engine");
        }
        Ok(AuthorityConfig::Store(source))
    }
}
