//! Rules about hosts that need more than a field: names, addresses, what a search finds.

use foghorn_types::{DiskRules, MacAddress, check_host_name};
use serde_json::Value;

use crate::state::class::{Body, Class};
use crate::state::classes::{
    Group, GroupAssociation, Host, Inventory, MacAddressAssociation, Printer, PrinterAssociation,
    Snapin, SnapinAssociation, mac_key,
};
use crate::state::draft::Draft;
use crate::state::needle::Needle;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::tables::Tables;
use crate::state::value::{Flag, scalar};

/// A machine has a handful. They are stored with the host in one transaction, which takes 128
/// operations, two for each that goes and two for each that comes.
const MOST_ADDRESSES: usize = 24;

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    check_host_name(name).map_err(|bad| Refusal::Unusable {
        field: "name",
        why: bad.to_string(),
    })
}

/// A rule for disks must be one. A word that is like none stays, as on a FOG server: whoever orders a
/// task is told.
pub(super) fn check_disk_rules(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Ok(());
    }
    match text.trim().parse::<DiskRules>() {
        Err(why) if text.contains([':', ',', '/']) || why.suggestion().is_some() => {
            Err(Refusal::Invalid {
                field: "kernelDevice",
                why: why.to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// The addresses that a client sent: each once, all well-formed.
fn addresses(body: &Body) -> Result<Option<Vec<MacAddress>>, Refusal> {
    let refuse = |why: String| Refusal::Invalid { field: "macs", why };
    let Some(value) = body.get("macs").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let Value::Array(items) = value else {
        return Err(refuse("expected a list of addresses".to_owned()));
    };
    let mut found = Vec::new();
    for item in items {
        let text = scalar(item)
            .map_err(|error| refuse(error.to_string()))?
            .unwrap_or_default();
        let mac: MacAddress = text
            .parse()
            .map_err(|error: foghorn_types::ParseMacError| refuse(error.to_string()))?;
        if !found.contains(&mac) {
            found.push(mac);
        }
    }
    if found.len() > MOST_ADDRESSES {
        return Err(refuse(format!(
            "{} addresses, a host has at most {MOST_ADDRESSES}",
            found.len()
        )));
    }
    Ok(Some(found))
}

/// The row of an address, unless another host has it.
fn own_row(
    tables: &Tables,
    host: u32,
    mac: MacAddress,
) -> Result<Option<&Row<MacAddressAssociation>>, Refusal> {
    let row = tables
        .of::<MacAddressAssociation>()
        .by(MacAddressAssociation::BY_MAC, mac_key(mac))
        .next();
    match row {
        Some(row) if row.host != host => Err(Refusal::Taken {
            class: Host::NAME,
            field: "macs",
            value: mac.to_string(),
            owner: row.host,
        }),
        row => Ok(row.map(AsRef::as_ref)),
    }
}

fn primary(host: u32, mac: MacAddress) -> MacAddressAssociation {
    MacAddressAssociation {
        host,
        mac: mac.to_string(),
        primary: Flag::Yes,
        ..MacAddressAssociation::default()
    }
}

fn further(host: u32, mac: MacAddress) -> MacAddressAssociation {
    let no = Flag::No;
    MacAddressAssociation {
        host,
        mac: mac.to_string(),
        primary: no,
        pending: no,
        client_ignore: no,
        image_ignore: no,
        ..MacAddressAssociation::default()
    }
}

/// Gives a new host its addresses; the first is the primary one. As on a FOG server a further one
/// that another host has is left out: it stays where it is.
pub(super) fn give_addresses(draft: &mut Draft<'_>, host: u32, body: &Body) -> Result<(), Refusal> {
    let macs = addresses(body)?.unwrap_or_default();
    if macs.is_empty() {
        return Err(Refusal::Unusable {
            field: "macs",
            why: "a host needs at least one MAC address".to_owned(),
        });
    }
    for (place, mac) in macs.into_iter().enumerate() {
        match own_row(draft.tables(), host, mac) {
            Ok(_) => draft
                .insert(if place == 0 {
                    primary(host, mac)
                } else {
                    further(host, mac)
                })
                .map(drop)?,
            Err(taken) if place == 0 => return Err(taken),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Changes the addresses of a host as a FOG server does: the first new one becomes the primary one,
/// the former primary one goes, and so do those that were not sent. Unlike there, a host may be sent
/// back with the addresses that it has.
pub(super) fn change_addresses(
    draft: &mut Draft<'_>,
    host: u32,
    body: &Body,
) -> Result<(), Refusal> {
    let Some(macs) = addresses(body)? else {
        return Ok(());
    };
    let tables = draft.tables();
    let mut new = Vec::new();
    for mac in &macs {
        if own_row(tables, host, *mac)?.is_none() {
            new.push(*mac);
        }
    }
    let rows = || {
        tables
            .of::<MacAddressAssociation>()
            .by(MacAddressAssociation::BY_HOST, host.into())
    };
    if new.is_empty() && macs.len() == rows().count() {
        return Ok(());
    }
    if new.is_empty() {
        return Err(Refusal::Invalid {
            field: "macs",
            why: "none of the addresses is new to the host, and some of its own are missing: \
                  delete a macaddressassociation to take an address away"
                .to_owned(),
        });
    }
    for row in rows() {
        let kept = row.address().is_some_and(|mac| macs.contains(&mac));
        if row.primary.is_yes() || !kept {
            draft.delete(row);
        }
    }
    for (place, mac) in new.into_iter().enumerate() {
        draft.insert(if place == 0 {
            primary(host, mac)
        } else {
            further(host, mac)
        })?;
    }
    Ok(())
}

/// Hosts of which an address, the image, the inventory, a group, a snapin or a printer contains
/// `needle`. From the related objects to the hosts: asking every host would take too long when
/// there are very many.
pub(super) fn found_through(scene: &Scene<'_>, needle: &Needle) -> Vec<u32> {
    let tables = scene.tables;
    let hit = |text: &str| needle.hits(text);
    let mut found = Vec::new();
    if let Some(digits) = needle.address() {
        found.extend(
            tables
                .of::<MacAddressAssociation>()
                .holding_key(digits)
                .map(|row| row.host),
        );
    }
    for image in tables
        .images()
        .iter()
        .filter(|image| hit(&image.name) || hit(&image.description) || hit(&image.path))
    {
        found.extend(
            tables
                .hosts()
                .by(Host::BY_IMAGE, image.id.into())
                .map(|host| host.id),
        );
    }
    // Numbers in an inventory are ids, which say nothing about the machine.
    let words = |row: &Inventory| {
        Inventory::FIELDS
            .iter()
            .filter(|field| !field.is_number())
            .any(|field| hit(&field.show(row)))
    };
    found.extend(
        tables
            .of::<Inventory>()
            .hits(needle)
            .filter(|row| words(row))
            .map(|row| row.host),
    );
    for group in tables.of::<Group>().iter().filter(|group| hit(&group.name)) {
        let members = tables
            .of::<GroupAssociation>()
            .by(GroupAssociation::BY_GROUP, group.id.into());
        found.extend(members.map(|member| member.host));
    }
    let snapin_hit = |row: &Snapin| hit(&row.name) || hit(&row.description) || hit(&row.file);
    for snapin in tables.of::<Snapin>().iter().filter(|row| snapin_hit(row)) {
        let users = tables
            .of::<SnapinAssociation>()
            .by(SnapinAssociation::BY_SNAPIN, snapin.id.into());
        found.extend(users.map(|row| row.host));
    }
    for printer in tables
        .of::<Printer>()
        .iter()
        .filter(|printer| hit(&printer.name))
    {
        let users = tables
            .of::<PrinterAssociation>()
            .by(PrinterAssociation::BY_PRINTER, printer.id.into());
        found.extend(users.map(|row| row.host));
    }
    found
}
