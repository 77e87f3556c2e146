//! `[login]`: how failed log-ins are slowed down.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, TrustedProxy, seconds};

/// How many failures are allowed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Allowance {
    /// Failures allowed in a row.
    pub burst: u32,
    /// Time after which one more is allowed.
    pub refill: Duration,
}

/// Limits of failed log-ins, and which proxies are trusted to report the client's address.
#[derive(Clone, PartialEq, Debug)]
pub struct LoginConfig {
    /// For one user name, whether it exists or not. Default 10 in a row, then one in 30 seconds.
    pub per_name: Allowance,
    /// For one address. Default 60 in a row, then one in 5 seconds.
    pub per_address: Allowance,
    /// Proxies whose `X-Forwarded-For` is used. Default none.
    pub trusted_proxies: Vec<TrustedProxy>,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self {
            per_name: Allowance {
                burst: 10,
                refill: Duration::from_secs(30),
            },
            per_address: Allowance {
                burst: 60,
                refill: Duration::from_secs(5),
            },
            trusted_proxies: Vec::new(),
        }
    }
}

/// How failed log-ins are slowed down.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogin {
    /// Failed log-ins in a row that are allowed for one name.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = LoginConfig::default().per_name.burst))]
    failures_per_name: Option<u32>,
    /// Seconds after which one more is allowed.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = LoginConfig::default().per_name.refill.as_secs()))]
    name_refill_seconds: Option<u64>,
    /// The same for one address.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = LoginConfig::default().per_address.burst))]
    failures_per_address: Option<u32>,
    /// Seconds after which one more is allowed.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = LoginConfig::default().per_address.refill.as_secs()))]
    address_refill_seconds: Option<u64>,
    /// Addresses of proxies whose `X-Forwarded-For` is believed, or networks of such, as
    /// `10.244.0.0/16`.
    #[serde(default)]
    trusted_proxies: Vec<String>,
}

impl RawLogin {
    pub(super) fn check(self) -> Result<LoginConfig, ConfigError> {
        let allowance = |burst: (&'static str, Option<u32>),
                         refill: (&'static str, Option<u64>),
                         default: Allowance| {
            let burst = match burst {
                (key, Some(0)) => {
                    return Err(ConfigError::Value {
                        key,
                        why: "must be at least 1".to_owned(),
                    });
                }
                (_, burst) => burst.unwrap_or(default.burst),
            };
            Ok(Allowance {
                burst,
                refill: seconds(refill.0, refill.1, default.refill)?,
            })
        };
        let default = LoginConfig::default();
        Ok(LoginConfig {
            per_name: allowance(
                ("login.failures_per_name", self.failures_per_name),
                ("login.name_refill_seconds", self.name_refill_seconds),
                default.per_name,
            )?,
            per_address: allowance(
                ("login.failures_per_address", self.failures_per_address),
                ("login.address_refill_seconds", self.address_refill_seconds),
                default.per_address,
            )?,
            trusted_proxies: self
                .trusted_proxies
                .iter()
                .map(|text| proxy(text))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn proxy(text: &str) -> Result<TrustedProxy, ConfigError> {
    text.parse::<TrustedProxy>()
        .map_err(|error| ConfigError::Value {
            key: "login.trusted_proxies",
            why: error.to_string(),
        })
}
