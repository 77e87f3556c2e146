//! Devices: renamed, given away, put into a group, deleted.

use std::sync::Arc;

use foghorn_types::{MachineUuid, Timestamp, check_host_name};
use tracing::info;

use super::names::{self, BadName};
use crate::state::classes::{Host, User};
use crate::state::machines::config::Level;
use crate::state::machines::denied::DeniedDevice;
use crate::state::machines::device::{Device, Membership};
use crate::state::machines::group::DeviceGroup;
use crate::state::machines::removal;
use crate::state::machines::sightings::Sightings;
use crate::state::shelf::Record as _;
use crate::state::value::fold;
use crate::state::{Draft, Refusal, State};
use crate::store::Compare;

/// What is to change of a device; `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    pub name: Option<String>,
    /// Number of the new owner.
    pub owner: Option<u32>,
    /// Name of the group; empty: none.
    pub group: Option<String>,
}

/// Why a device was not changed. Nothing of the change has been made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error("the factory has no device group {0:?}")]
    NoGroup(String),
    #[error("there is no such user")]
    NoUser,
    #[error("name: {0:?} belongs to another device, or to another host")]
    NameTaken(String),
    #[error("name: {0}")]
    BadName(#[from] BadName),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Why a device was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Changes a device, all of it or nothing. With the name that of its host changes, if a host can have
/// that name.
///
/// # Errors
/// See [`EditError`].
pub async fn edit(
    state: &State,
    uuid: MachineUuid,
    change: &Change,
    by: u32,
) -> Result<(), EditError> {
    let now = Timestamp::now();
    state
        .write(|draft| {
            let before = draft.tables().devices().get(&uuid);
            let before = before.ok_or(EditError::NotThere(uuid))?;
            let mut device = Device::clone(before);
            let mut is_renamed = false;
            if let Some(name) = &change.name {
                is_renamed = rename(draft, &mut device, name)?;
            }
            if let Some(owner) = change.owner {
                if draft.tables().of::<User>().get(owner).is_none() {
                    return Err(EditError::NoUser);
                }
                draft.require_present::<User>(owner);
                device.owner = owner;
            }
            if let Some(group) = &change.group {
                regroup(draft, &mut device, group, now)?;
            }
            if device != **before || is_renamed {
                device.meta.touch(by, now);
                draft.replace(&device);
            }
            Ok(())
        })
        .await
}

/// Gives the device a name. Returns whether it had another one.
pub(super) fn rename(
    draft: &mut Draft<'_>,
    device: &mut Device,
    name: &str,
) -> Result<bool, EditError> {
    let tables = draft.tables();
    if device.shown_name(tables) == name {
        return Ok(false);
    }
    names::check_of_device(name, device.uuid)?;
    if !is_free(draft, device, name) {
        return Err(EditError::NameTaken(name.to_owned()));
    }
    match device.host_row(tables) {
        Some(row) if check_host_name(name).is_ok() => {
            let host = Host {
                name: name.to_owned(),
                ..Host::clone(row)
            };
            draft.update(row, &host).map_err(|refusal| match refusal {
                Refusal::Taken { .. } => EditError::NameTaken(name.to_owned()),
                other => other.into(),
            })?;
            device.name = None;
        }
        own => {
            let own = own.map(|row| row.id);
            let host = tables.hosts().named(name);
            if host.is_some_and(|host| Some(host.id) != own) {
                return Err(EditError::NameTaken(name.to_owned()));
            }
            device.name = Some(name.to_owned());
        }
    }
    Ok(true)
}

/// Whether no other device of the factory is called so. Whoever asks takes the turn of those who name
/// devices there.
pub(super) fn is_free(draft: &mut Draft<'_>, device: &Device, name: &str) -> bool {
    let factory = device.factory;
    draft.take_turn(&format!("name-device-{factory}"), factory.get());
    let tables = draft.tables();
    let name = fold(name);
    let mut others = tables
        .devices()
        .iter()
        .filter(|other| other.uuid != device.uuid && other.factory == factory);
    !others.any(|other| fold(&other.shown_name(tables)) == name)
}

/// Puts the device into a group of its factory, or takes it out of its group.
pub(super) fn regroup(
    draft: &mut Draft<'_>,
    device: &mut Device,
    name: &str,
    now: Timestamp,
) -> Result<(), EditError> {
    let tables = draft.tables();
    let group = match name {
        "" => None,
        name => {
            let group = tables.device_groups().named(device.factory, name);
            Some(group.ok_or_else(|| EditError::NoGroup(name.to_owned()))?)
        }
    };
    let id = group.map(|group| group.id);
    if id == device.group.map(|group| group.id) {
        return Ok(());
    }
    if let Some(group) = group {
        join(draft, group);
    }
    device.group = id.map(|id| Membership { id, since: now });
    device.regrouped = Some(now.max(device.regrouped.unwrap_or(now)));
    Ok(())
}

/// A device comes into the group: it must not be deleted meanwhile, and whoever is about to delete it
/// has to look again.
fn join(draft: &mut Draft<'_>, group: &Arc<DeviceGroup>) {
    draft.require(Compare::Present(group.key()));
    draft.take_turn(&super::groups::turn_of(group.id), group.id.get());
}

/// Deletes a device with its configuration and its history; its certificate is refused from now on. Its
/// host stays.
///
/// # Errors
/// See [`DeleteError`].
pub async fn delete(
    state: &State,
    seen: &Sightings,
    uuid: MachineUuid,
    by: u32,
) -> Result<(), DeleteError> {
    let at = Timestamp::now();
    let deleted = state.write::<_, DeleteError>(|draft| {
        let tables = draft.tables();
        let device = tables.devices().get(&uuid);
        let device = device.ok_or(DeleteError::NotThere(uuid))?;
        draft.discard(&**device);
        if let Some(updates) = tables.device_updates().get(&uuid) {
            draft.discard(&**updates);
        }
        if let Some(tests) = tables.device_tests().get(&uuid) {
            draft.discard(&**tests);
            for op in tests.remove_pieces() {
                draft.operate(op);
            }
        }
        if let Some(users) = tables.device_users().get(&uuid) {
            draft.discard(&**users);
        }
        removal::forget(draft, Level::Device(uuid));
        draft.replace(&DeniedDevice {
            uuid,
            factory: device.factory,
            name: device.shown_name(tables),
            by,
            at,
            modified: 0,
        });
        Ok(())
    });
    deleted.await?;
    seen.forget(uuid);
    info!(%uuid, "device deleted, and denied from now on");
    Ok(())
}
