//! `[dialects]`: which further APIs are served, and where.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use super::rest::host_and_port;

/// The FoundriesFactory dialect.
#[derive(Clone, Debug, Default)]
pub struct FoundriesConfig {
    /// Where devices reach their gateway; `None`: there is none.
    pub gateway: Option<SocketAddr>,
    /// `host:port` that new devices are told; default: the gateway's own address.
    pub gateway_advertise: Option<String>,
}

/// Further APIs.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDialects {
    #[serde(default)]
    foundries: RawFoundries,
}

/// The FoundriesFactory API: devices, targets and their configuration.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFoundries {
    /// Address and port of the gateway of devices (HTTPS with client certificates). Without it there
    /// is none.
    #[schemars(extend("examples" = ["0.0.0.0:8445"]))]
    gateway: Option<SocketAddr>,
    /// `HOST:PORT` of the gateway that new devices are told. Default: the listening address; when
    /// that is every address, the first of `rest.names`, else an address of this machine.
    #[schemars(extend("examples" = ["devices.example.org:8445"]))]
    gateway_advertise: Option<String>,
}

impl RawDialects {
    pub(super) fn check(self) -> Result<FoundriesConfig, ConfigError> {
        let RawFoundries {
            gateway,
            gateway_advertise,
        } = self.foundries;
        Ok(FoundriesConfig {
            gateway,
            gateway_advertise: host_and_port(
                "dialects.foundries.gateway_advertise",
                gateway_advertise,
            )?,
        })
    }
}
