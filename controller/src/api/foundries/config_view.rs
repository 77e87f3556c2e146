//! Configurations as the API takes and shows them.

use foghorn_host_config::{ConfigFile, ConfigVersion};
use schemars::JsonSchema;
use serde::Serialize;

use super::page::Paging;
use super::times;

/// Files for a new version, and why. What is missing is empty.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "a description only: the crate of configurations reads the body"
)]
pub(super) struct ConfigCreateBody {
    /// Words for the history.
    reason: Option<String>,
    /// Each name once.
    files: Option<Vec<ConfigFileBody>>,
}

/// A file of a configuration.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ConfigFileBody {
    /// Path below the folder of configurations on the device. Not absolute, without `..`.
    name: String,
    /// Its content if it is `unencrypted`. Else, at a device, base64 of what was encrypted for its public
    /// key; at a group or a factory the secret itself, which answers show as empty.
    #[serde(default)]
    value: String,
    /// Whether the value is no secret.
    #[serde(default)]
    unencrypted: bool,
    /// Program and arguments that run on the device when the file has changed or is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    on_changed: Vec<String>,
}

/// One version of a configuration, which never changes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ConfigEntry {
    /// When it was made, UTC without a zone.
    created_at: String,
    /// When the device first fetched it; null until then, and for those of groups and factories.
    applied_at: Option<String>,
    /// Id of the user who made it; empty for the device itself.
    created_by: String,
    /// Words of whoever made it.
    reason: String,
    /// All of its files, by name.
    files: Vec<ConfigFileBody>,
}

/// Versions of a configuration.
#[derive(Serialize, JsonSchema)]
pub(super) struct ConfigHistory {
    /// The newest first; ten are kept.
    pub(super) config: Vec<ConfigEntry>,
    #[serde(flatten)]
    pub(super) paging: Paging,
}

impl ConfigFileBody {
    fn of(file: &ConfigFile) -> Self {
        Self {
            name: file.name.to_string(),
            value: file.value.clone(),
            unencrypted: file.unencrypted,
            on_changed: file.on_changed.clone(),
        }
    }
}

impl ConfigEntry {
    pub(super) fn of(version: &ConfigVersion) -> Self {
        Self {
            created_at: times::of_config(version.created_at),
            applied_at: version.applied_at.map(times::of_config),
            created_by: version.created_by.clone(),
            reason: version.reason.clone(),
            files: version.files.iter().map(ConfigFileBody::of).collect(),
        }
    }
}
