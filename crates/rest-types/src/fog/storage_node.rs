//! Storage nodes: the agents, as FOG lists them.

use foghorn_types::{StorageGroupId, StorageNodeId};
use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct StorageNode {
    #[serde(deserialize_with = "text::id")]
    pub id: StorageNodeId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(deserialize_with = "text::text_or_none", default)]
    pub ip: Option<String>,
    #[serde(
        rename = "storagegroupID",
        deserialize_with = "text::id_or_none",
        default
    )]
    pub storage_group: Option<StorageGroupId>,
    #[serde(rename = "isMaster", deserialize_with = "text::flag", default)]
    pub master: bool,
    #[serde(rename = "isEnabled", deserialize_with = "text::flag", default)]
    pub enabled: bool,
    #[serde(deserialize_with = "text::flag", default)]
    pub online: bool,
    #[serde(rename = "maxClients", deserialize_with = "text::number", default)]
    pub max_clients: u64,
}

impl FogObject for StorageNode {
    const CLASS: &'static str = "storagenode";
    const NOUN: &'static str = "storage node";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StorageNodeBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(rename = "storagegroupID", skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<StorageGroupId>,
    #[serde(rename = "maxClients", skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<u32>,
    #[serde(
        rename = "isEnabled",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub enabled: Option<bool>,
    #[serde(
        rename = "isMaster",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub master: Option<bool>,
    // FOG requires the four below of every node; Foghorn's nodes hold neither a share nor a
    // password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(rename = "ftppath", skip_serializing_if = "Option::is_none")]
    pub ftp_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
}

impl StorageNodeBody {
    /// A new node of a group, enabled, with labels in the fields that FOG requires and Foghorn does
    /// not use.
    #[must_use]
    pub fn new(name: &str, ip: &str, group: StorageGroupId) -> Self {
        Self {
            name: Some(name.to_owned()),
            ip: Some(ip.to_owned()),
            storage_group: Some(group),
            max_clients: Some(10),
            enabled: Some(true),
            path: Some("/images".to_owned()),
            ftp_path: Some("/images".to_owned()),
            user: Some("unused".to_owned()),
            pass: Some("unused".to_owned()),
            ..Self::default()
        }
    }
}
