//! Hosts: the machines that are imaged.

use foghorn_types::{HostId, ImageId, MacAddress};
use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    #[serde(deserialize_with = "text::id")]
    pub id: HostId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// First the primary one.
    #[serde(default)]
    pub macs: Vec<MacAddress>,
    #[serde(rename = "imageID", deserialize_with = "text::id_or_none", default)]
    pub image: Option<ImageId>,
    #[serde(rename = "imagename", deserialize_with = "text::text_or_none", default)]
    pub image_name: Option<String>,
    /// The rule by which the client finds the disk to work on (FOG's `kernelDevice`).
    #[serde(
        rename = "kernelDevice",
        deserialize_with = "text::text_or_none",
        default
    )]
    pub disk_rule: Option<String>,
    /// When an image was last deployed to it.
    #[serde(deserialize_with = "text::time_or_none", default)]
    pub deployed: Option<String>,
}

impl FogObject for Host {
    const CLASS: &'static str = "host";
    const NOUN: &'static str = "host";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HostBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<Vec<MacAddress>>,
    #[serde(rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    #[serde(rename = "kernelDevice", skip_serializing_if = "Option::is_none")]
    pub disk_rule: Option<String>,
}
