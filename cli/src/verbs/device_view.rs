//! Devices as people see them.

use foghorn_rest_types::native::{DeniedDeviceStatus, DeviceBinding, DeviceState, DeviceStatus};

use super::made::yes;
use super::object::dash;
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

pub(super) fn table(output: Output, devices: &[Native<DeviceStatus>]) -> Table {
    let mut table = Table::new(&[
        "UUID",
        "NAME",
        "FACTORY",
        "HOST",
        "STATUS",
        "TAG",
        "TARGET",
        "LAST SEEN",
    ]);
    for device in devices.iter().map(|device| &device.view) {
        table.row([
            device.uuid.clone(),
            device.name.clone(),
            device.factory.name.clone(),
            dash(device.host.as_ref().map(|host| &host.name)),
            word(device.status).to_owned(),
            dash(device.tag.as_ref()),
            dash(device.target.as_ref()),
            dash(device.last_seen.as_deref().map(|at| output.time(at))),
        ]);
    }
    table
}

pub(super) fn denied(output: Output, devices: &[Native<DeniedDeviceStatus>]) -> Table {
    let mut table = Table::new(&["UUID", "NAME", "FACTORY", "DENIED BY", "DENIED"]);
    for device in devices.iter().map(|device| &device.view) {
        table.row([
            device.uuid.clone(),
            device.name.clone(),
            device.factory.name.clone(),
            dash(device.denied_by.as_ref()),
            output.time(&device.denied),
        ]);
    }
    table
}

pub(super) fn sheet(output: Output, device: &DeviceStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("device {} ({})", device.name, device.uuid));
    sheet.field("status", word(device.status));
    let last = device.last_seen.as_deref().map(|at| output.time(at));
    sheet.field("last seen", last.unwrap_or_else(|| "never".to_owned()));
    sheet.field("created", output.time(&device.created));
    sheet.field("production", yes(device.production));
    sheet.group("belongs to");
    sheet.field("factory", device.factory.name.as_str());
    let host = device.host.as_ref();
    let host = host.map(|host| format!("{} (id {})", host.name, host.id));
    sheet.field("host", host.unwrap_or_else(|| "none".to_owned()));
    sheet.maybe("says so", device.bound_by.map(said_by));
    sheet.maybe("group", device.group.as_deref());
    sheet.maybe("owner", device.owner.as_deref());
    sheet.group("runs");
    sheet.field("tag", device.tag.as_deref().unwrap_or("none"));
    sheet.field("target", device.target.as_deref().unwrap_or("not known"));
    sheet.field("up to date", yes(device.up_to_date));
    sheet.maybe("hardware", device.hardware_id.as_deref());
    sheet.maybe("apps", Some(device.apps.join(", ")));
    if let Some(network) = &device.network {
        sheet.group("network");
        sheet.maybe("name", Some(network.hostname.as_str()));
        sheet.maybe("address", Some(network.ip.as_str()));
        sheet.maybe("MAC address", Some(network.mac.as_str()));
    }
    sheet
}

/// As in the API.
pub(super) const fn word(state: DeviceState) -> &'static str {
    match state {
        DeviceState::New => "new",
        DeviceState::Online => "online",
        DeviceState::Offline => "offline",
        DeviceState::Cloned => "cloned",
    }
}

const fn said_by(binding: DeviceBinding) -> &'static str {
    match binding {
        DeviceBinding::Certificate => "its certificate",
        DeviceBinding::Uuid => "whoever registered it, by the UUID of the hardware",
        DeviceBinding::Address => "only the device itself",
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::{DeviceNetwork, Named};
    use foghorn_types::{HostId, StorageGroupId};
    use serde_json::Value;

    use super::*;
    use crate::human::Zone;

    fn device() -> DeviceStatus {
        DeviceStatus {
            uuid: "0a1b2c3d-0000-4000-8000-00000000000f".to_owned(),
            name: "pc1".to_owned(),
            factory: Named {
                id: StorageGroupId::new(2).unwrap(),
                name: "north".to_owned(),
            },
            host: Some(Named {
                id: HostId::new(7).unwrap(),
                name: "pc1".to_owned(),
            }),
            bound_by: Some(DeviceBinding::Address),
            group: None,
            owner: None,
            status: DeviceState::Offline,
            last_seen: Some("2026-11-30T08:00:00Z".to_owned()),
            created: "2026-11-29T08:00:00Z".to_owned(),
            production: false,
            tag: Some("lab".to_owned()),
            target: None,
            up_to_date: false,
            apps: Vec::new(),
            hardware_id: None,
            network: Some(DeviceNetwork {
                hostname: "pc1".to_owned(),
                ip: String::new(),
                mac: "52:54:00:00:00:01".to_owned(),
            }),
        }
    }

    fn output() -> Output {
        Output {
            zone: Zone::Utc,
            ..Output::default()
        }
    }

    #[test]
    fn a_table_has_what_tells_devices_apart() {
        let device = Native {
            view: device(),
            raw: Value::Null,
        };
        let shown = table(output(), &[device]).render();
        let line = shown.lines().nth(1).unwrap();
        let cells: Vec<&str> = line.split("  ").filter(|cell| !cell.is_empty()).collect();
        let cells: Vec<&str> = cells.iter().map(|cell| cell.trim()).collect();
        assert_eq!(
            cells,
            [
                "0a1b2c3d-0000-4000-8000-00000000000f",
                "pc1",
                "north",
                "pc1",
                "offline",
                "lab",
                "-",
                "2026-11-30 08:00:00 +0000"
            ]
        );
    }

    #[test]
    fn a_sheet_says_who_says_which_host_it_is() {
        let shown = sheet(output(), &device()).render();
        for line in [
            "host         pc1 (id 7)",
            "says so      only the device itself",
            "target       not known",
            "MAC address  52:54:00:00:00:01",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        assert!(!shown.contains("group  "), "{shown}");
    }
}
