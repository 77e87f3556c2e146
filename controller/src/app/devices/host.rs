//! Which FOG host a device is.

use foghorn_types::{HostId, MacAddress, MachineUuid, Timestamp};
use serde_json::json;

use crate::state::class::{Body, Class as _};
use crate::state::classes::{Host, Inventory, MacAddressAssociation, mac_key};
use crate::state::machines::device::{Bound, BoundBy, Device};
use crate::state::rules::{Rules as _, Write};
use crate::state::{Draft, Refusal, Tables};

/// The host whose hardware has this UUID; `None` also when several have.
pub(super) fn with_uuid(tables: &Tables, uuid: MachineUuid) -> Option<HostId> {
    let rows = tables.of::<Inventory>().iter();
    let mut found = rows.filter(|row| row.sysuuid.trim().parse::<MachineUuid>() == Ok(uuid));
    let host = found.next()?.host;
    if found.next().is_some() {
        return None;
    }
    tables.hosts().get(host)?.key()
}

/// The host that has this address, approved.
pub(super) fn with_mac(tables: &Tables, mac: MacAddress) -> Option<HostId> {
    let mut rows = tables
        .of::<MacAddressAssociation>()
        .by(MacAddressAssociation::BY_MAC, mac_key(mac));
    let row = rows.find(|row| !row.pending.is_yes())?;
    tables.hosts().get(row.host)?.key()
}

/// Whether any host has this address, approved or not.
pub(super) fn is_known(tables: &Tables, mac: MacAddress) -> bool {
    let mut rows = tables
        .of::<MacAddressAssociation>()
        .by(MacAddressAssociation::BY_MAC, mac_key(mac));
    rows.next().is_some()
}

/// The device is this host from now on, unless another one is or the host is gone. A device that was
/// not given a name is called as its host is.
pub(super) fn bind(draft: &mut Draft<'_>, device: &mut Device, host: HostId, by: BoundBy) {
    let tables = draft.tables();
    let Some(row) = tables.hosts().get(host.get()) else {
        return;
    };
    // Of two devices that are to be one host, the second is drafted again and sees the first.
    draft.take_turn_of::<Host>(host.get());
    draft.require_present::<Host>(host.get());
    if tables.devices().of_host(host).is_some() {
        return;
    }
    device.host = Some(Bound { to: host, by });
    let is_default = device.name.as_deref() == Some(device.uuid.to_string().as_str());
    if is_default && super::edit::is_free(draft, device, &row.name) {
        device.name = None;
    }
}

/// Makes a host for a device that has none. Its name is that of the device if a host can have it, else
/// the address, as FOG names hosts that register themselves. Nothing when a host has that name.
pub(super) fn create(
    draft: &mut Draft<'_>,
    device: &mut Device,
    mac: MacAddress,
    now: Timestamp,
) -> Result<(), Refusal> {
    let own = device.name.clone();
    let own = own.filter(|name| foghorn_types::check_host_name(name).is_ok());
    let by_address = mac.to_string().replace(':', "");
    let name = own.clone().unwrap_or(by_address);
    if draft.tables().hosts().named(&name).is_some() {
        return Ok(());
    }
    let mut host = Host {
        name,
        created_time: now.into(),
        created_by: "device".to_owned(),
        ..Host::default()
    };
    host.set_id(draft.next_id::<Host>());
    let mut body = Body::new();
    body.insert("macs".to_owned(), json!([mac.to_string()]));
    Host::on_write(draft, &mut host, Write::Create, &body)?;
    let id = draft.insert(host)?;
    device.host = HostId::new(id).map(|to| Bound {
        to,
        by: BoundBy::Address,
    });
    if own.is_some() {
        // It has the same name as a host.
        device.name = None;
    }
    Ok(())
}
