//! `[dialects]`: APIs beside FOG's and our own.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use super::rest::host_and_port;

/// Which further APIs are served.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DialectConfig {
    /// Whether the operators' routes of the FoundriesFactory dialect are served. Default no.
    pub foundries: bool,
    /// Where devices of the FoundriesFactory dialect reach their gateway; `None`: there is none.
    pub gateway: Option<SocketAddr>,
    /// `host:port` that new devices are told; default: the gateway's own address.
    pub gateway_advertise: Option<String>,
}

/// APIs of other products, for the programs that were written for them.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDialects {
    #[serde(default)]
    foundries: RawFoundries,
}

/// That of a FoundriesFactory, for `fioctl`: storage groups are factories, versions of images are
/// targets.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct RawFoundries {
    /// Serves it under `/ota`, on the port of the REST API, to whoever has a factory token.
    #[serde(default)]
    enabled: bool,
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
    pub(super) fn check(self) -> Result<DialectConfig, ConfigError> {
        let RawFoundries {
            enabled,
            gateway,
            gateway_advertise,
        } = self.foundries;
        Ok(DialectConfig {
            foundries: enabled,
            gateway,
            gateway_advertise: host_and_port(
                "dialects.foundries.gateway_advertise",
                gateway_advertise,
            )?,
        })
    }
}
