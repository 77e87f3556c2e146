//! Replaces one side of an association: the hosts of a group, the groups of a host, the storage groups of an image.

use super::{GroupAssociation, ImageAssociation};
use crate::state::class::Class;
use crate::state::value::Flag;
use crate::state::{Draft, Refusal};

/// Whose members are replaced.
#[derive(Clone, Copy)]
pub(super) enum Member {
    HostsOfGroup(u32),
    GroupsOfHost(u32),
    GroupsOfImage(u32),
}

/// Makes `wanted` the members: deletes those that are not in it, adds those that are missing, leaves the others alone.
pub(super) fn replace(draft: &mut Draft<'_>, member: Member, wanted: &[u32]) -> Result<(), Refusal> {
    match member {
        Member::HostsOfGroup(group) => replace_rows(
            draft,
            GroupAssociation::BY_GROUP,
            group,
            wanted,
            |row: &GroupAssociation| row.host,
            |host| GroupAssociation { id: 0, host, group },
        ),
        Member::GroupsOfHost(host) => replace_rows(
            draft,
            GroupAssociation::BY_HOST,
            host,
            wanted,
            |row: &GroupAssociation| row.group,
            |group| GroupAssociation { id: 0, host, group },
        ),
        Member::GroupsOfImage(image) => replace_rows(
            draft,
            ImageAssociation::BY_IMAGE,
            image,
            wanted,
            |row: &ImageAssociation| row.storagegroup,
            |storagegroup| ImageAssociation { id: 0, image, storagegroup, primary: Flag::No },
        ),
    }
}

fn replace_rows<C: Class>(
    draft: &mut Draft<'_>,
    index: usize,
    owner: u32,
    wanted: &[u32],
    member: fn(&C) -> u32,
    make: impl Fn(u32) -> C,
) -> Result<(), Refusal> {
    let rows: Vec<_> = draft.tables().of::<C>().by(index, owner.into()).collect();
    for row in rows.iter().filter(|row| !wanted.contains(&member(row))) {
        draft.delete(row);
    }
    for id in wanted.iter().filter(|id| !rows.iter().any(|row| member(row) == **id)) {
        draft.insert(make(*id))?;
    }
    Ok(())
}
