//! `[store]`: where the state is.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, StoreConfig};
use crate::store::etcd::{EtcdLogin, EtcdOptions, EtcdTls};

/// Where the state is.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    /// `embedded`: one file in the data directory; `etcd`: a cluster that several controllers
    /// share.
    #[schemars(extend("default" = "embedded"))]
    engine: Option<Engine>,
    /// With etcd: the addresses of all its members, such as `["https://etcd1:2379"]`.
    #[serde(default)]
    endpoints: Vec<String>,
    tls: Option<EtcdTls>,
    login: Option<EtcdLogin>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Engine {
    Embedded,
    Etcd,
}

impl RawStore {
    pub(super) fn check(self) -> Result<StoreConfig, ConfigError> {
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
