//! Changes of many rows at once: one side of an association (the hosts of a group, the snapins of a
//! host, the storage groups of an image …) and the image of many hosts.

use std::collections::HashSet;
use std::sync::Arc;

use crate::state::classes::{Association, Host, ModuleAssociation};
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;
use crate::state::row::Row;

/// What becomes of members that are not named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Go,
    Stay,
}

/// Makes `wanted` the members of `owner`, which index `by` of the association finds: deletes those
/// that are not in it, adds those that are missing, leaves the others alone. As far as the draft
/// has room.
pub(super) fn replace<A: Association>(
    draft: &mut Draft<'_>,
    by: usize,
    owner: u32,
    wanted: &[u32],
) -> Result<(), Refusal> {
    change(draft, Others::Go, by, owner, wanted, |new: A| new)
}

/// Like [`replace`]; `complete` sets what new rows have beside the pair.
pub(super) fn replace_with<A: Association>(
    draft: &mut Draft<'_>,
    by: usize,
    owner: u32,
    wanted: &[u32],
    complete: impl Fn(A) -> A,
) -> Result<(), Refusal> {
    change(draft, Others::Go, by, owner, wanted, complete)
}

/// Adds those of `wanted` that are no members yet, as far as the draft has room.
pub(super) fn add_with<A: Association>(
    draft: &mut Draft<'_>,
    by: usize,
    owner: u32,
    wanted: &[u32],
    complete: impl Fn(A) -> A,
) -> Result<(), Refusal> {
    change(draft, Others::Stay, by, owner, wanted, complete)
}

/// Keys and values of an association and its guard, generously.
const ASSOCIATION_BYTES: usize = 512;

fn change<A: Association>(
    draft: &mut Draft<'_>,
    others: Others,
    by: usize,
    owner: u32,
    wanted: &[u32],
    complete: impl Fn(A) -> A,
) -> Result<(), Refusal> {
    let is_left = by == 0;
    let member = |row: &A| if is_left { row.right() } else { row.left() };
    let rows: Vec<_> = draft.tables().of::<A>().by(by, owner.into()).collect();
    let mut known: HashSet<u32> = rows.iter().map(|row| member(row)).collect();
    let kept: HashSet<u32> = wanted.iter().copied().collect();
    let new: Vec<u32> = wanted
        .iter()
        .copied()
        .filter(|id| known.insert(*id))
        .collect();
    if others == Others::Go {
        let gone: Vec<_> = rows
            .into_iter()
            .filter(|row| !kept.contains(&member(row)))
            .collect();
        if gone.is_empty() && new.is_empty() || !draft.has_room(1, 1) {
            return Ok(());
        }
        // Whoever adds a member meanwhile is seen, and of two lists the members are those of one.
        draft.take_turn_of_object(A::class_by(by), owner);
        draft.delete_each(gone.into_iter());
    }
    for id in new {
        if draft.has_room(4, ASSOCIATION_BYTES) {
            draft.insert(complete(if is_left {
                A::pair(owner, id)
            } else {
                A::pair(id, owner)
            }))?;
        }
    }
    Ok(())
}

/// Makes `modules` those that are switched on for a host.
pub(super) fn give_modules(
    draft: &mut Draft<'_>,
    host: u32,
    modules: &[u32],
) -> Result<(), Refusal> {
    let on = |row| ModuleAssociation {
        state: ModuleAssociation::ON.to_owned(),
        ..row
    };
    let table = draft.tables().of::<ModuleAssociation>();
    for row in table.by(ModuleAssociation::BY_HOST, host.into()) {
        let is_off = !row.is_on() && modules.contains(&row.module);
        if is_off && draft.has_room(1, ASSOCIATION_BYTES) {
            draft.update(row, &on(ModuleAssociation::clone(row)))?;
        }
    }
    replace_with(draft, ModuleAssociation::BY_HOST, host, modules, on)
}

/// Gives hosts an image: those that have it already are left alone, so that a repeated step goes on
/// where the last one ended.
pub(super) fn give_image<'r>(
    draft: &mut Draft<'_>,
    hosts: impl Iterator<Item = &'r Arc<Row<Host>>>,
    image: u32,
) -> Result<(), Refusal> {
    for host in hosts.filter(|host| host.image != image) {
        if draft.has_room(1, host.stored_bytes()) {
            draft.update(
                host,
                &Host {
                    image,
                    ..Host::clone(host)
                },
            )?;
        }
    }
    Ok(())
}
