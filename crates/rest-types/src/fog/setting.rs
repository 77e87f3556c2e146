//! Settings of the installation, which FOG calls services.

use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Setting {
    #[serde(deserialize_with = "text::number")]
    id: u64,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub value: String,
    #[serde(default)]
    pub category: String,
}

impl FogObject for Setting {
    const CLASS: &'static str = "service";
    const NOUN: &'static str = "setting";

    fn number(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(u32::MAX)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of an edit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SettingBody {
    pub value: String,
}
