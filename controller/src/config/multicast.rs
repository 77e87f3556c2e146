//! `[multicast]`: the groups of sessions, and how sessions are sent.

use foghorn_types::BitRate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, GroupRange};

/// How multicast sessions are sent, unless the session or its storage node has its own settings.
#[derive(Clone, Debug)]
pub struct MulticastConfig {
    /// Whether multicast is used; otherwise the tasks of a session are deployed by unicast.
    /// Default true.
    pub enabled: bool,
    /// Groups for nodes that clients reach by IPv4. Default 239.255.64.0/18.
    pub range_v4: GroupRange,
    /// Groups for nodes that clients reach by IPv6. Default ff18::4648:0/112.
    pub range_v6: GroupRange,
    /// Routers that a packet may cross, plus one. Default 1: the LAN alone.
    pub ttl: u8,
    /// Receivers join for the sending node only (IGMPv3, MLDv2). Default false.
    pub source_specific: bool,
    /// Maximum rate of a session on the wire. Default: the rate that the group sustains.
    pub max_rate: Option<BitRate>,
    /// Receivers that are slower than this are served by unicast. Default: that of the agents.
    pub floor: Option<BitRate>,
}

impl Default for MulticastConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            range_v4: RANGE_V4.parse().expect("a range of the local scope"),
            range_v6: RANGE_V6
                .parse()
                .expect("a range of the organisation's scope"),
            ttl: 1,
            source_specific: false,
            max_rate: None,
            floor: None,
        }
    }
}

/// Default of `multicast.range_v4`.
const RANGE_V4: &str = "239.255.64.0/18";
/// Default of `multicast.range_v6`.
const RANGE_V6: &str = "ff18::4648:0/112";

/// Sessions that send an image once to many machines.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMulticast {
    /// Without it, the tasks of a session are deployed by unicast.
    #[schemars(extend("default" = MulticastConfig::default().enabled))]
    enabled: Option<bool>,
    /// Multicast groups for storage nodes that machines reach by IPv4, at most 65536.
    #[schemars(extend("default" = RANGE_V4))]
    range_v4: Option<String>,
    /// The same for IPv6.
    #[schemars(extend("default" = RANGE_V6))]
    range_v6: Option<String>,
    /// Routers that the stream may cross, plus one.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = MulticastConfig::default().ttl))]
    ttl: Option<u8>,
    /// Receivers join the group for the sending storage node only (IGMPv3, MLDv2).
    #[serde(default)]
    source_specific: bool,
    /// Bits per second on the wire of a session that has no rate of its own. Default: what its
    /// group sustains.
    #[schemars(extend("examples" = ["800m"]))]
    max_rate: Option<String>,
    /// Receivers that are slower than this, in bits per second, are served by unicast. Default:
    /// that of the storage nodes.
    #[schemars(extend("examples" = ["10m"]))]
    floor: Option<String>,
}

impl RawMulticast {
    pub(super) fn check(self) -> Result<MulticastConfig, ConfigError> {
        let default = MulticastConfig::default();
        if self.ttl == Some(0) {
            return Err(ConfigError::Value {
                key: "multicast.ttl",
                why: "must be at least 1".to_owned(),
            });
        }
        Ok(MulticastConfig {
            enabled: self.enabled.unwrap_or(default.enabled),
            range_v4: range("multicast.range_v4", self.range_v4, default.range_v4)?,
            range_v6: range("multicast.range_v6", self.range_v6, default.range_v6)?,
            ttl: self.ttl.unwrap_or(default.ttl),
            source_specific: self.source_specific,
            max_rate: limit("multicast.max_rate", self.max_rate)?,
            floor: rate("multicast.floor", self.floor)?,
        })
    }
}

fn range(
    key: &'static str,
    text: Option<String>,
    default: GroupRange,
) -> Result<GroupRange, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let range: GroupRange = text.parse().map_err(|error| ConfigError::Value {
        key,
        why: format!("{error}"),
    })?;
    if range.is_ipv6() == default.is_ipv6() {
        Ok(range)
    } else {
        Err(ConfigError::Value {
            key,
            why: format!("{text:?} is a range of the other IP version"),
        })
    }
}

fn limit(key: &'static str, text: Option<String>) -> Result<Option<BitRate>, ConfigError> {
    let limit = rate(key, text)?.map(BitRate::as_limit).transpose();
    limit.map_err(|error| ConfigError::Value {
        key,
        why: error.to_string(),
    })
}

fn rate(key: &'static str, text: Option<String>) -> Result<Option<BitRate>, ConfigError> {
    let rate = text.map(|text| text.parse::<BitRate>()).transpose();
    let rate = rate.map_err(|error| ConfigError::Value {
        key,
        why: error.to_string(),
    })?;
    Ok(rate.filter(|rate| rate.bits_per_second() > 0))
}
