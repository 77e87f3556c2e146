//! The status of a factory as the API shows it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::app::devices::newest::{Counts, TagCounts};
use crate::app::devices::status::FactoryStatus;

/// How the devices of a factory are getting on.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FactoryStatusView {
    /// All of them.
    total_devices: u64,
    /// Those that are not in production, by the tag that they follow; no name for those without one.
    tags: Vec<TagStatus>,
    /// Those that are in production.
    prod_tags: Vec<TagStatus>,
    /// Always empty: there are no waves.
    wave_tags: Vec<TagStatus>,
}

/// The devices that follow one tag.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct TagStatus {
    /// The tag; empty for devices that follow none.
    name: String,
    #[serde(flatten)]
    counts: DeviceCounts,
    /// The highest version with the tag; 0 when there is none.
    latest_target: u32,
    /// What they run.
    targets: Vec<TargetStatus>,
    /// The same devices by group; those in none are left out.
    device_groups: Vec<DeviceGroupStatus>,
}

/// How many devices there are.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct DeviceCounts {
    /// All of them.
    devices_total: u64,
    /// Those that have spoken lately.
    devices_online: u64,
    /// Those that run the newest target for them.
    devices_on_latest: u64,
    /// Those that run a target without their tag, or an unknown one.
    devices_on_orphan: u64,
}

/// Devices that run one version.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct TargetStatus {
    /// Version of the target; 0 when it is not known.
    version: u32,
    /// How many run it.
    devices: u64,
    /// Whether it does not have their tag.
    is_orphan: bool,
}

/// Devices of one group.
#[derive(Serialize, JsonSchema)]
struct DeviceGroupStatus {
    /// Name of the group.
    name: String,
    #[serde(flatten)]
    counts: DeviceCounts,
}

impl From<&Counts> for DeviceCounts {
    fn from(counts: &Counts) -> Self {
        Self {
            devices_total: counts.total,
            devices_online: counts.online,
            devices_on_latest: counts.on_latest,
            devices_on_orphan: counts.on_orphan,
        }
    }
}

impl FactoryStatusView {
    pub(super) fn of(status: &FactoryStatus) -> Self {
        Self {
            total_devices: status.total,
            tags: tags(&status.tags),
            prod_tags: tags(&status.prod_tags),
            wave_tags: Vec::new(),
        }
    }
}

fn tags(all: &BTreeMap<String, TagCounts>) -> Vec<TagStatus> {
    all.iter().map(|(name, tag)| of_tag(name, tag)).collect()
}

fn of_tag(name: &str, tag: &TagCounts) -> TagStatus {
    let targets = tag.versions.iter().map(|(version, counts)| TargetStatus {
        version: *version,
        devices: counts.devices,
        is_orphan: counts.is_orphan,
    });
    let groups = tag.groups.iter().filter(|(name, _)| !name.is_empty());
    let groups = groups.map(|(name, counts)| DeviceGroupStatus {
        name: name.clone(),
        counts: counts.into(),
    });
    TagStatus {
        name: name.to_owned(),
        counts: (&tag.counts).into(),
        latest_target: tag.latest,
        targets: targets.collect(),
        device_groups: groups.collect(),
    }
}
