//! `[images]`: how long what a capture replaces is kept.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, DAY};

/// How long what a capture has replaced is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionConfig {
    /// Versions of each image beside the present one. Default 1.
    pub most: u32,
    /// Since they were replaced. Default 14 days.
    pub keep: Duration,
}

impl Default for VersionConfig {
    fn default() -> Self {
        Self {
            most: 1,
            keep: DAY * KEEP_DAYS,
        }
    }
}

/// All versions of an image are one record of the store.
const MOST_VERSIONS: u32 = 10;
/// Default of `images.keep_days`.
const KEEP_DAYS: u32 = 14;

/// What captures replace.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImages {
    /// Versions of each image that are kept beside the present one; 0: none. Each takes room on its
    /// storage node for what only it contains.
    #[schemars(range(max = MOST_VERSIONS))]
    #[schemars(extend("default" = VersionConfig::default().most))]
    keep_versions: Option<u32>,
    /// Days for which they are kept, since they were replaced.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = KEEP_DAYS))]
    keep_days: Option<u32>,
}

impl RawImages {
    pub(super) fn check(&self) -> Result<VersionConfig, ConfigError> {
        let default = VersionConfig::default();
        let most = self.keep_versions.unwrap_or(default.most);
        if most > MOST_VERSIONS {
            return Err(ConfigError::Value {
                key: "images.keep_versions",
                why: format!("must be at most {MOST_VERSIONS}"),
            });
        }
        if self.keep_days == Some(0) {
            return Err(ConfigError::Value {
                key: "images.keep_days",
                why: "must be at least 1; set keep_versions to 0 to keep none".to_owned(),
            });
        }
        let keep = self.keep_days.map_or(default.keep, |days| DAY * days);
        Ok(VersionConfig { most, keep })
    }
}
