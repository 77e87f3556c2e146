//! `[rest]`, `[link]` and `[peers]`: where the controller listens, and how patient it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ConfigError, DRAIN, LinkConfig, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, Patience,
    RestConfig, seconds,
};

/// Default ports.
const REST_PORT: u16 = 8443;
const LINK_PORT: u16 = 8444;
const LONGEST_DRAIN: u64 = 600;

const fn every_address(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// The REST API.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRest {
    /// Address and port (HTTPS).
    #[schemars(extend("default" = every_address(REST_PORT)))]
    listen: Option<SocketAddr>,
    /// Further DNS names and addresses for the certificate, in addition to those of loopback and,
    /// while it listens on every address, those of this machine.
    #[serde(default)]
    names: Vec<String>,
    /// Takes plain HTTP as well as HTTPS, on the same port: everybody on the network can then read
    /// tokens and passwords.
    #[serde(default)]
    plain_http: bool,
    /// Open connections; further ones wait.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = MAX_CONNECTIONS))]
    max_connections: Option<usize>,
    /// Open connections of one address that is not a trusted proxy; further ones are refused.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = MAX_CONNECTIONS_PER_ADDRESS))]
    max_connections_per_address: Option<usize>,
    /// A connection without a request is closed after this time, in seconds.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Patience::default().idle.as_secs()))]
    idle_seconds: Option<u64>,
    /// A client that takes nothing of its answer is disconnected after this time, in seconds.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Patience::default().stuck.as_secs()))]
    stuck_seconds: Option<u64>,
    /// Seconds for which requests are answered after the signal to stop, while other controllers
    /// are there: at least the time in which your balancer notices, 0 without one.
    #[schemars(range(max = LONGEST_DRAIN))]
    #[schemars(extend("default" = DRAIN.as_secs()))]
    drain_seconds: Option<u64>,
}

/// Agents of storage nodes (gRPC).
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLink {
    /// Address and port to which they connect.
    #[schemars(extend("default" = every_address(LINK_PORT)))]
    listen: Option<SocketAddr>,
    /// `HOST:PORT` to which agents connect. Default: the listening address; when that is every
    /// address, the first of `rest.names`, else an address of this machine.
    #[schemars(extend("examples" = ["10.23.0.1:8444"]))]
    advertise: Option<String>,
}

/// Other controllers on the same etcd.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeers {
    /// `HOST:PORT` of the link at which they reach this controller; not that of a load balancer.
    /// Default: its own address.
    #[schemars(extend("examples" = ["10.23.0.1:8444"]))]
    advertise: Option<String>,
}

impl RawRest {
    pub(super) fn check(self) -> Result<RestConfig, ConfigError> {
        let patience = Patience::default();
        Ok(RestConfig {
            listen: self.listen.unwrap_or(every_address(REST_PORT)),
            names: self.names,
            plain_http: self.plain_http,
            max_connections: at_least_one(
                "rest.max_connections",
                self.max_connections.unwrap_or(MAX_CONNECTIONS),
            )?,
            max_connections_per_address: at_least_one(
                "rest.max_connections_per_address",
                self.max_connections_per_address
                    .unwrap_or(MAX_CONNECTIONS_PER_ADDRESS),
            )?,
            patience: Patience {
                idle: seconds("rest.idle_seconds", self.idle_seconds, patience.idle)?,
                stuck: seconds("rest.stuck_seconds", self.stuck_seconds, patience.stuck)?,
            },
            drain: drain(self.drain_seconds)?,
        })
    }
}

impl RawLink {
    pub(super) fn check(self) -> Result<LinkConfig, ConfigError> {
        Ok(LinkConfig {
            listen: self.listen.unwrap_or(every_address(LINK_PORT)),
            advertise: host_and_port("link.advertise", self.advertise)?,
        })
    }
}

impl RawPeers {
    pub(super) fn check(self) -> Result<Option<String>, ConfigError> {
        host_and_port("peers.advertise", self.advertise)
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

pub(super) fn host_and_port(
    key: &'static str,
    text: Option<String>,
) -> Result<Option<String>, ConfigError> {
    let is_good = |text: &String| {
        text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
    };
    match text {
        Some(text) if !is_good(&text) => Err(ConfigError::Value {
            key,
            why: format!("{text:?} is not HOST:PORT"),
        }),
        text => Ok(text),
    }
}
