//! Snapins, and which host has which.

use foghorn_types::{HostId, SnapinId};
use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Snapin {
    #[serde(deserialize_with = "text::id")]
    pub id: SnapinId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub args: String,
    #[serde(rename = "runWith", default)]
    pub run_with: String,
    #[serde(rename = "isEnabled", deserialize_with = "text::flag", default)]
    pub enabled: bool,
    /// SHA-512 of the file; empty before it was uploaded.
    #[serde(default)]
    pub hash: String,
    #[serde(deserialize_with = "text::number", default)]
    pub size: u64,
}

impl FogObject for Snapin {
    const CLASS: &'static str = "snapin";
    const NOUN: &'static str = "snapin";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SnapinBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    #[serde(rename = "runWith", skip_serializing_if = "Option::is_none")]
    pub run_with: Option<String>,
    #[serde(rename = "runWithArgs", skip_serializing_if = "Option::is_none")]
    pub run_with_args: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub reboot: Option<bool>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub shutdown: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    #[serde(
        rename = "isEnabled",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub enabled: Option<bool>,
}

/// Says that a host has a snapin.
#[derive(Clone, Debug, Deserialize)]
pub struct SnapinAssociation {
    #[serde(deserialize_with = "text::number")]
    id: u64,
    #[serde(rename = "hostID", deserialize_with = "text::id")]
    pub host: HostId,
    #[serde(rename = "snapinID", deserialize_with = "text::id")]
    pub snapin: SnapinId,
}

impl FogObject for SnapinAssociation {
    const CLASS: &'static str = "snapinassociation";
    const NOUN: &'static str = "assignment of a snapin";

    fn number(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(u32::MAX)
    }

    fn name(&self) -> &str {
        ""
    }
}

/// Gives a host a snapin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SnapinAssociationBody {
    #[serde(rename = "hostID")]
    pub host: HostId,
    #[serde(rename = "snapinID")]
    pub snapin: SnapinId,
}
