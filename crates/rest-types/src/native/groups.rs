//! Bodies about groups of hosts.

use foghorn_types::{GroupId, HostId, ImageId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Named, TaskBrief};
use crate::schema::Rfc3339;

/// Groups.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupList {
    /// In the order of their names, without members, images and tasks.
    pub groups: Vec<GroupStatus>,
    /// Where to continue, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A set of hosts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatus {
    /// Id of the group.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Number of its members.
    pub host_count: u32,
    /// Its members in the order of their names; absent in lists.
    pub hosts: Option<Vec<Named<HostId>>>,
    /// Images that its members have; absent in lists.
    pub images: Option<Vec<Named<ImageId>>>,
    /// Tasks of its members that have not ended; absent in lists.
    pub tasks: Option<Vec<TaskBrief>>,
    /// Name of the user who created it.
    pub created_by: String,
    /// When it was created; absent if that is not known.
    #[schemars(with = "Option<Rfc3339>")]
    pub created: Option<String>,
}
