//! `[log]`: what is logged.

use foghorn_telemetry::{DEFAULT_FILTER, check_filter};
use foghorn_types::chain;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// What is logged. SIGHUP reads it again.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// Directives such as `info,foghorn_controller=debug`. The variable FOGHORN_LOG takes
    /// precedence.
    #[schemars(extend("default" = DEFAULT_FILTER))]
    filter: Option<String>,
}

impl RawLog {
    pub(super) fn is_set(&self) -> bool {
        self.filter.is_some()
    }

    pub(super) fn check(self) -> Result<String, ConfigError> {
        let filter = self.filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
        check_filter(&filter).map_err(|error| ConfigError::Value {
            key: "log.filter",
            why: chain(&error).to_string(),
        })?;
        Ok(filter)
    }
}
