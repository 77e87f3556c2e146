//! Changes of many rows at once: one side of an association (the hosts of a group, the snapins of a host, the storage groups
//! of an image …) and the image of many hosts.

use std::collections::HashSet;
use std::sync::Arc;

use super::{
    GroupAssociation, Host, ImageAssociation, ModuleAssociation, PrinterAssociation, SnapinAssociation,
    SnapinGroupAssociation,
};
use crate::state::class::Class;
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, Row};

/// Whose members are replaced.
#[derive(Clone, Copy)]
pub(super) enum Member {
    HostsOfGroup(u32),
    GroupsOfHost(u32),
    PrintersOfHost(u32),
    /// New ones are on.
    ModulesOfHost(u32),
    HostsOfPrinter(u32),
    /// With what new ones are marked as.
    GroupsOfImage(u32, Flag),
    SnapinsOfHost(u32),
    HostsOfSnapin(u32),
    /// With what new ones are marked as.
    GroupsOfSnapin(u32, Flag),
}

/// What becomes of members that are not named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Go,
    Stay,
}

/// Makes `wanted` the members: deletes those that are not in it, adds those that are missing, leaves the others alone. As far
/// as the draft has room.
pub(super) fn replace(draft: &mut Draft<'_>, member: Member, wanted: &[u32]) -> Result<(), Refusal> {
    change(draft, member, wanted, Others::Go)
}

/// Adds those of `wanted` that are no members yet, as far as the draft has room.
pub(super) fn add(draft: &mut Draft<'_>, member: Member, wanted: &[u32]) -> Result<(), Refusal> {
    change(draft, member, wanted, Others::Stay)
}

fn change(draft: &mut Draft<'_>, member: Member, wanted: &[u32], others: Others) -> Result<(), Refusal> {
    match member {
        Member::HostsOfGroup(group) => change_rows(
            draft,
            others,
            GroupAssociation::BY_GROUP,
            group,
            wanted,
            |row: &GroupAssociation| row.host,
            |host| GroupAssociation { id: 0, host, group },
        ),
        Member::GroupsOfHost(host) => change_rows(
            draft,
            others,
            GroupAssociation::BY_HOST,
            host,
            wanted,
            |row: &GroupAssociation| row.group,
            |group| GroupAssociation { id: 0, host, group },
        ),
        Member::PrintersOfHost(host) => change_rows(
            draft,
            others,
            PrinterAssociation::BY_HOST,
            host,
            wanted,
            |row: &PrinterAssociation| row.printer,
            |printer| PrinterAssociation { host, printer, ..PrinterAssociation::default() },
        ),
        Member::ModulesOfHost(host) => change_rows(
            draft,
            others,
            ModuleAssociation::BY_HOST,
            host,
            wanted,
            |row: &ModuleAssociation| row.module,
            |module| ModuleAssociation { id: 0, host, module, state: "1".to_owned() },
        ),
        Member::HostsOfPrinter(printer) => change_rows(
            draft,
            others,
            PrinterAssociation::BY_PRINTER,
            printer,
            wanted,
            |row: &PrinterAssociation| row.host,
            |host| PrinterAssociation { host, printer, ..PrinterAssociation::default() },
        ),
        Member::GroupsOfImage(image, primary) => change_rows(
            draft,
            others,
            ImageAssociation::BY_IMAGE,
            image,
            wanted,
            |row: &ImageAssociation| row.storagegroup,
            |storagegroup| ImageAssociation { id: 0, image, storagegroup, primary },
        ),
        Member::SnapinsOfHost(host) => change_rows(
            draft,
            others,
            SnapinAssociation::BY_HOST,
            host,
            wanted,
            |row: &SnapinAssociation| row.snapin,
            |snapin| SnapinAssociation { id: 0, host, snapin },
        ),
        Member::HostsOfSnapin(snapin) => change_rows(
            draft,
            others,
            SnapinAssociation::BY_SNAPIN,
            snapin,
            wanted,
            |row: &SnapinAssociation| row.host,
            |host| SnapinAssociation { id: 0, host, snapin },
        ),
        Member::GroupsOfSnapin(snapin, primary) => change_rows(
            draft,
            others,
            SnapinGroupAssociation::BY_SNAPIN,
            snapin,
            wanted,
            |row: &SnapinGroupAssociation| row.storagegroup,
            |storagegroup| SnapinGroupAssociation { id: 0, snapin, storagegroup, primary },
        ),
    }
}

/// Keys and values of an association and its guard, generously.
const ASSOCIATION_BYTES: usize = 512;

/// Gives hosts an image: those that have it already are left alone, so that a repeated step goes on where the last one ended.
pub(super) fn give_image<'r>(
    draft: &mut Draft<'_>,
    hosts: impl Iterator<Item = &'r Arc<Row<Host>>>,
    image: u32,
) -> Result<(), Refusal> {
    for host in hosts.filter(|host| host.image != image) {
        if draft.has_room(1, host.stored_bytes()) {
            draft.update(host, &Host { image, ..Host::clone(host) })?;
        }
    }
    Ok(())
}

fn change_rows<C: Class>(
    draft: &mut Draft<'_>,
    others: Others,
    index: usize,
    owner: u32,
    wanted: &[u32],
    member: fn(&C) -> u32,
    make: impl Fn(u32) -> C,
) -> Result<(), Refusal> {
    let rows: Vec<_> = draft.tables().of::<C>().by(index, owner.into()).collect();
    let present: HashSet<u32> = rows.iter().map(|row| member(row)).collect();
    let kept: HashSet<u32> = wanted.iter().copied().collect();
    if others == Others::Go {
        draft.delete_each(rows.into_iter().filter(|row| !kept.contains(&member(row))));
    }
    let mut known = present;
    for id in wanted.iter().filter(|id| known.insert(**id)) {
        if draft.has_room(2, ASSOCIATION_BYTES) {
            draft.insert(make(*id))?;
        }
    }
    Ok(())
}
