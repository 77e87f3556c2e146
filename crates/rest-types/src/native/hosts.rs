//! Bodies about hosts.

use foghorn_types::{GroupId, HostId, ImageId, MacAddress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Named, TaskBrief};
use crate::schema::Rfc3339;

/// Hosts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostList {
    /// In the order of their names.
    pub hosts: Vec<HostStatus>,
    /// Where to continue, as `after`; absent at the end. A page may have fewer hosts than `limit`
    /// although there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A machine that is imaged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    /// Id of the host.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Its MAC addresses, the primary one first.
    pub macs: Vec<MacAddress>,
    /// Image for this host; absent for none.
    pub image: Option<Named<ImageId>>,
    /// Rule that selects its disk; absent for none.
    pub disk_rule: Option<String>,
    /// Whether a deploy puts an identity of the machine on its disk; absent: as its image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<bool>,
    /// Groups that it is in.
    pub groups: Vec<Named<GroupId>>,
    /// Its tasks that have not ended.
    pub tasks: Vec<TaskBrief>,
    /// Whether it has registered itself and waits for approval.
    pub pending: bool,
    /// When an image was last deployed to it; absent if never.
    #[schemars(with = "Option<Rfc3339>")]
    pub deployed: Option<String>,
    /// Name of the user who created it.
    pub created_by: String,
    /// When it was created; absent if that is not known.
    #[schemars(with = "Option<Rfc3339>")]
    pub created: Option<String>,
}
