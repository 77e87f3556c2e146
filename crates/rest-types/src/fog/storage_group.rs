//! Storage groups: sets of storage nodes that hold the same images.

use foghorn_types::StorageGroupId;
use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct StorageGroup {
    #[serde(deserialize_with = "text::id")]
    pub id: StorageGroupId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(
        rename = "totalsupportedclients",
        deserialize_with = "text::number",
        default
    )]
    pub clients: u64,
}

impl FogObject for StorageGroup {
    const CLASS: &'static str = "storagegroup";
    const NOUN: &'static str = "storage group";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StorageGroupBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
