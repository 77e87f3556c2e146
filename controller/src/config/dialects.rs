//! `[dialects]`: APIs beside FOG's and our own.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which further APIs are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DialectConfig {
    /// The operators' routes of the FoundriesFactory dialect. Default no.
    pub foundries: bool,
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
}

impl RawDialects {
    pub(super) const fn check(&self) -> DialectConfig {
        DialectConfig {
            foundries: self.foundries.enabled,
        }
    }
}
