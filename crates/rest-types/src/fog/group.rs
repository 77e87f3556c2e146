//! Groups of hosts, and which host is in which.

use foghorn_types::{GroupId, HostId};
use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    #[serde(deserialize_with = "text::id")]
    pub id: GroupId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(rename = "hostcount", deserialize_with = "text::number", default)]
    pub hosts: u64,
}

impl FogObject for Group {
    const CLASS: &'static str = "group";
    const NOUN: &'static str = "group";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// One host's place in one group.
#[derive(Clone, Debug, Deserialize)]
pub struct GroupAssociation {
    #[serde(deserialize_with = "text::number")]
    id: u64,
    #[serde(rename = "hostID", deserialize_with = "text::id")]
    pub host: HostId,
    #[serde(rename = "groupID", deserialize_with = "text::id")]
    pub group: GroupId,
}

impl FogObject for GroupAssociation {
    const CLASS: &'static str = "groupassociation";
    const NOUN: &'static str = "group membership";

    fn number(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(u32::MAX)
    }

    fn name(&self) -> &str {
        ""
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct GroupBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All members: an edit replaces the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
}
