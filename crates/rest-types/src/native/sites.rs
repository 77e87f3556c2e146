//! Bodies about sites.

use foghorn_types::{GroupId, StorageGroupId, Subnet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;

/// All sites.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SiteList {
    /// In the order of their numbers.
    pub sites: Vec<SiteStatus>,
}

/// A storage group as a site.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SiteStatus {
    /// Id of the storage group.
    pub id: StorageGroupId,
    /// Name of the storage group.
    pub name: String,
    /// Machines that check in from these subnets belong to the site.
    #[schemars(with = "Vec<String>")]
    pub subnets: Vec<Subnet>,
    /// Hosts of these groups belong to it when the address does not say otherwise.
    pub host_groups: Vec<Named<GroupId>>,
    /// Who serves its hosts when it cannot, in this order. Empty: the storage group of the image.
    pub fallbacks: Vec<Named<StorageGroupId>>,
    /// IANA name of the time zone in which schedules of its hosts are meant; absent: that of the
    /// installation (`FOG_TZ_INFO`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Nodes of it that one machine may fetch an image from at a time; absent: as the configuration of
    /// the controller says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources_per_client: Option<u8>,
    /// Names of its storage nodes.
    pub nodes: Vec<String>,
    /// How many of them are connected.
    pub nodes_online: u32,
}

/// A change of a site; what is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteEdit {
    /// All of its subnets, such as `10.1.0.0/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub subnets: Option<Vec<Subnet>>,
    /// All groups whose hosts belong to it, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_groups: Option<Vec<GroupId>>,
    /// All storage groups that serve its hosts when it cannot, by id, the first one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallbacks: Option<Vec<StorageGroupId>>,
    /// IANA name of its time zone, such as `Europe/Berlin`; empty: that of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Nodes of it that one machine may fetch an image from at a time, at most 8; 1: only the one that has
    /// its task; 0: as the configuration of the controller says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 8))]
    pub sources_per_client: Option<u8>,
}
