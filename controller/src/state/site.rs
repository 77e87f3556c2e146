//! Sites: what a storage group is beside its nodes: the subnets around it, and who serves its hosts
//! when it cannot.

use std::net::IpAddr;

use foghorn_types::{GroupId, StorageGroupId, Subnet};
use serde::{Deserialize, Serialize};

use super::shelf::{Record, Shelf, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of sites: this and the storage group's id.
const PREFIX: &str = "/foghorn/v1/site/";

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SiteBody {
    /// Machines that check in from here belong to the site.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// Hosts of these groups belong to it, wherever they are.
    #[serde(default)]
    pub host_groups: Vec<GroupId>,
    /// Storage groups that serve its hosts when it cannot, in this order.
    #[serde(default)]
    pub fallbacks: Vec<StorageGroupId>,
    /// Its IANA name; `None`: that of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Nodes of it that one client may fetch from at a time; `None`: as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources_per_client: Option<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Site {
    pub group: StorageGroupId,
    #[serde(flatten)]
    pub body: SiteBody,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

impl Record for Site {
    const WHAT: &'static str = "site";
    type Index = ();

    numbered_by!(PREFIX, group: StorageGroupId);
    stored_whole!();
}

impl Shelf<Site> {
    /// The site with the smallest subnet that the address is in.
    #[must_use]
    pub fn around(&self, address: IpAddr) -> Option<StorageGroupId> {
        let subnets = self
            .iter()
            .flat_map(|site| site.body.subnets.iter().map(|subnet| (*subnet, site.group)));
        subnets
            .filter(|(subnet, _)| subnet.contains(address))
            .max_by_key(|(subnet, group)| (subnet.prefix(), std::cmp::Reverse(*group)))
            .map(|(_, group)| group)
    }
}
