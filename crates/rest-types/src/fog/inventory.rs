//! What is known of the hardware of hosts.

use foghorn_types::HostId;
use serde::Deserialize;

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Inventory {
    #[serde(deserialize_with = "text::number")]
    id: u64,
    #[serde(rename = "hostID", deserialize_with = "text::id_or_none", default)]
    pub host: Option<HostId>,
    #[serde(rename = "sysman", default)]
    pub maker: String,
    #[serde(rename = "sysproduct", default)]
    pub product: String,
    #[serde(rename = "sysserial", default)]
    pub serial: String,
    #[serde(rename = "cpuversion", default)]
    pub cpu: String,
    /// For people, such as `15.55 GiB`.
    #[serde(default)]
    pub memory: String,
    #[serde(rename = "hdmodel", default)]
    pub disk: String,
    #[serde(rename = "hdserial", default)]
    pub disk_serial: String,
}

impl FogObject for Inventory {
    const CLASS: &'static str = "inventory";
    const NOUN: &'static str = "inventory";

    fn number(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(u32::MAX)
    }

    fn name(&self) -> &str {
        ""
    }
}
