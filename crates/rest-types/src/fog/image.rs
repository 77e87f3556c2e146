//! Images: a name and settings; the contents are described by [`crate::native::ImageContent`].

use foghorn_types::ImageId;
use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    #[serde(deserialize_with = "text::id")]
    pub id: ImageId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(rename = "isEnabled", deserialize_with = "text::flag", default)]
    pub enabled: bool,
    #[serde(deserialize_with = "text::flag", default)]
    pub protected: bool,
    /// When it was last deployed.
    #[serde(deserialize_with = "text::time_or_none", default)]
    pub deployed: Option<String>,
    #[serde(rename = "osname", default)]
    pub os: Option<String>,
    #[serde(rename = "storagegroupname", default)]
    pub storage_group: Option<String>,
}

impl FogObject for Image {
    const CLASS: &'static str = "image";
    const NOUN: &'static str = "image";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ImageBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// FOG requires it; Foghorn names what it stores by contents and keeps the path as a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(rename = "imageTypeID", skip_serializing_if = "Option::is_none")]
    pub image_type: Option<u32>,
    #[serde(rename = "osID", skip_serializing_if = "Option::is_none")]
    pub os: Option<u32>,
    #[serde(
        rename = "isEnabled",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub enabled: Option<bool>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub protected: Option<bool>,
}

impl ImageBody {
    /// A new image that can be captured at once: enabled, all partitions of one disk, operating
    /// system "other".
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            path: Some(name.to_owned()),
            image_type: Some(2),
            os: Some(99),
            enabled: Some(true),
            ..Self::default()
        }
    }
}
