//! Devices as the API shows them, in the form of lists and alone.

use foghorn_types::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::config_view::ConfigEntry;
use super::group_view::{DeviceGroupView, FactoryChangeMeta};
use super::page::Paging;
use super::times;
use crate::app::devices::factories::user_code;
use crate::app::devices::list::Shown;
use crate::state::machines::device::Network;

/// A page of devices.
#[derive(Serialize, JsonSchema)]
pub(super) struct DeviceList {
    /// In the order that was asked for; else by owner, then by name.
    pub(super) devices: Vec<DeviceRow>,
    #[serde(flatten)]
    pub(super) paging: Paging,
}

/// What lists and single devices have in common.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DeviceFacts {
    /// Its UUID, the common name of its certificate.
    uuid: String,
    /// Id of the user who owns it; empty for nobody.
    owner: String,
    /// Name of its factory, which is a storage group.
    factory: String,
    /// Unique in its factory; the UUID until somebody gives it another one.
    name: String,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When it spoke last, RFC 3339; empty before the first time.
    last_seen: String,
    /// Hash of the target that it says it runs; empty when it has not said.
    ostree_hash: String,
    /// Name of the target that it says it runs; empty when it has not said.
    target_name: String,
    /// Correlation id of the update in progress; empty when there is none.
    current_update: String,
    /// The tag that it follows, as a list.
    device_tags: Vec<String>,
    /// The tag that it follows; empty for none.
    tag: String,
    /// Apps that it says it runs.
    docker_apps: Vec<String>,
    /// How it is reached, in its own words; null when it has not said.
    network_info: Option<NetworkInfo>,
    /// Whether no newer target has its tag and fits its hardware.
    up_to_date: bool,
    /// Public key of its certificate in PEM, with which secrets are encrypted; may be empty before it
    /// has spoken.
    public_key: String,
    /// Whether its certificate is one of production.
    is_prod: bool,
    /// Always false: there are no waves.
    is_wave: bool,
    /// `cloned`: two machines have used its identity within the last day. Empty: all is well as far as is known.
    status: String,
    /// Who made and changed it.
    change_meta: FactoryChangeMeta,
}

/// A device in a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DeviceRow {
    #[serde(flatten)]
    facts: DeviceFacts,
    /// Name of its device group; empty for none.
    device_group: String,
}

/// A device, whole.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DeviceView {
    #[serde(flatten)]
    facts: DeviceFacts,
    /// Its device group; null for none.
    group: Option<DeviceGroupView>,
    /// Always empty: not known.
    lmp_ver: String,
    /// Its hardware as it has sent it; null when it has not.
    hardware_info: Option<Value>,
    /// The latest version of its own configuration; null when there never was one.
    active_config: Option<ConfigEntry>,
    /// Settings of its update agent, as it has sent them.
    aktualizr_toml: String,
    /// Always empty.
    secondary_ecus: Vec<Value>,
    /// Apps as it has sent them last; null when it has not.
    apps_state: Option<Value>,
}

/// How a device is reached.
#[derive(Serialize, JsonSchema)]
pub(super) struct NetworkInfo {
    /// Its name.
    hostname: String,
    /// Its address.
    local_ipv4: String,
    /// Its MAC address.
    mac: String,
}

impl From<&Network> for NetworkInfo {
    fn from(network: &Network) -> Self {
        Self {
            hostname: network.hostname.clone(),
            local_ipv4: network.local_ipv4.clone(),
            mac: network.mac.clone(),
        }
    }
}

impl DeviceFacts {
    fn of(shown: &Shown) -> Self {
        let device = &*shown.device;
        let running = &device.running;
        let tag = running.tag.clone();
        Self {
            uuid: device.uuid.to_string(),
            owner: user_code(device.owner),
            factory: shown.factory.clone(),
            name: shown.name.clone(),
            created_at: times::of_device(device.meta.created_at),
            last_seen: shown.last_seen.map(times::of_device).unwrap_or_default(),
            ostree_hash: running.hash.clone(),
            target_name: running.target.clone(),
            current_update: device.update.clone().unwrap_or_default(),
            device_tags: Some(tag.clone())
                .filter(|tag| !tag.is_empty())
                .into_iter()
                .collect(),
            tag,
            docker_apps: running.apps.clone(),
            network_info: device.network.as_ref().map(NetworkInfo::from),
            up_to_date: shown.is_up_to_date,
            public_key: device.public_key.clone(),
            is_prod: device.is_prod,
            is_wave: false,
            status: match device.boots.cloned(Timestamp::now()) {
                Some(_) => "cloned".to_owned(),
                None => String::new(),
            },
            change_meta: FactoryChangeMeta::of(&device.meta, times::of_device),
        }
    }
}

impl DeviceRow {
    pub(super) fn of(shown: &Shown) -> Self {
        let group = shown.group.as_ref();
        Self {
            facts: DeviceFacts::of(shown),
            device_group: group.map(|group| group.name.clone()).unwrap_or_default(),
        }
    }
}

impl DeviceView {
    pub(super) fn of(shown: &Shown, config: Option<ConfigEntry>) -> Self {
        let device = &*shown.device;
        Self {
            facts: DeviceFacts::of(shown),
            group: shown.group.as_deref().map(DeviceGroupView::of),
            lmp_ver: String::new(),
            hardware_info: device.hardware.clone(),
            active_config: config,
            aktualizr_toml: device.aktualizr_toml.clone(),
            secondary_ecus: Vec::new(),
            apps_state: device.apps_state.clone(),
        }
    }
}
