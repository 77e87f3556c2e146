//! Plugins: a file in the controller's folder, a row that switches it on or off, or both.

use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Plugin {
    /// 0 for a plugin of the folder without a row.
    #[serde(deserialize_with = "text::number", default)]
    id: u64,
    pub name: String,
    /// The switch of the row: `0` is off.
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub version: String,
    #[serde(deserialize_with = "text::text_or_none", default)]
    pub description: Option<String>,
    /// `on`, `off`, `broken` or `suspended`; absent without a file.
    #[serde(default)]
    pub standing: Option<String>,
    #[serde(deserialize_with = "text::number", default)]
    pub failures: u64,
    #[serde(rename = "lastError", default)]
    pub last_error: Option<String>,
    /// As FOG writes times, in UTC.
    #[serde(rename = "lastErrorTime", default)]
    pub last_error_time: Option<String>,
}

impl FogObject for Plugin {
    const CLASS: &'static str = "plugin";
    const NOUN: &'static str = "plugin";

    fn number(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(u32::MAX)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PluginBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `0` switches the plugin off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
}
