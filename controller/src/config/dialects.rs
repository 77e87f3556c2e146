//! `[dialects]`: which further APIs are served, and where.

use schemars::JsonSchema;
use serde::Deserialize;

/// The FoundriesFactory dialect.
#[derive(Clone, Debug, Default)]
pub struct FoundriesConfig {
    /// Whether the operators' routes are served. Default no.
    pub enabled: bool,
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
    /// Serves it under `/ota`, on the port of the REST API, to whoever has a factory token.
    #[serde(default)]
    enabled: bool,
}

impl RawDialects {
    pub(super) fn check(self) -> FoundriesConfig {
        let RawFoundries { enabled } = self.foundries;
        FoundriesConfig { enabled }
    }
}
