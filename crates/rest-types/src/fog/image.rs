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
    /// Name of its choice of partitions; empty when none was chosen.
    #[serde(rename = "imageparttypename", default)]
    pub part: Option<String>,
    /// The choice itself, as machines read it.
    #[serde(rename = "imagepartitiontype", default)]
    pub part_type: PartType,
}

impl Image {
    /// Name of the part of the disk that it is about; `None` for the whole disk.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        let is_part = !matches!(self.part_type.kind.as_str(), "" | "all");
        self.part.as_deref().filter(|_| is_part)
    }
}

/// An embedded row of the class `imagepartitiontype`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PartType {
    #[serde(rename = "type", default)]
    pub kind: String,
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
    #[serde(
        rename = "imagePartitionTypeID",
        skip_serializing_if = "Option::is_none"
    )]
    pub partition_type: Option<u32>,
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
