//! Device groups: made, changed and deleted.

use std::sync::Arc;

use foghorn_types::{DeviceGroupId, StorageGroupId, Timestamp};

use super::names::{self, BadName};
use crate::state::classes::StorageGroup;
use crate::state::key;
use crate::state::machines::config::Level;
use crate::state::machines::group::{DeviceGroup, SEQUENCE};
use crate::state::machines::meta::ChangeMeta;
use crate::state::machines::removal;
use crate::state::{Draft, Refusal, State, Tables};
use crate::store::Op;

/// Groups of one factory.
pub const MOST_GROUPS: usize = 1000;
/// Bytes of a description.
pub const LONGEST_DESCRIPTION: usize = 1000;

/// Why a group was not made, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("the factory does not exist")]
    NoFactory,
    #[error("the factory has no device group {0:?}")]
    NotThere(String),
    #[error("name: the factory has a device group {0:?} already")]
    NameTaken(String),
    #[error("device group {name:?} has {devices} devices: take them out of it first")]
    InUse { name: String, devices: usize },
    #[error("name: {0}")]
    BadName(#[from] BadName),
    #[error("description: at most {LONGEST_DESCRIPTION} bytes are kept")]
    LongDescription,
    #[error("the factory has {MOST_GROUPS} device groups already, and no more are allowed")]
    TooMany,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// What a caller says of a group; `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    pub name: Option<String>,
    pub description: Option<String>,
}

/// The groups of a factory, by number.
#[must_use]
pub fn list(tables: &Tables, factory: StorageGroupId) -> Vec<Arc<DeviceGroup>> {
    tables
        .device_groups()
        .of_factory(factory)
        .cloned()
        .collect()
}

/// The turn of a group: of who puts devices into it, and of who deletes it.
pub(super) fn turn_of(group: DeviceGroupId) -> String {
    format!("devicegroup-{group}")
}

/// Makes a group.
///
/// # Errors
/// See [`GroupError`].
pub async fn create(
    state: &State,
    factory: StorageGroupId,
    name: &str,
    description: &str,
    by: u32,
) -> Result<Arc<DeviceGroup>, GroupError> {
    names::check(name)?;
    check_description(description)?;
    let now = Timestamp::now();
    let id = state.write::<_, GroupError>(|draft| {
        let tables = draft.tables();
        if tables.of::<StorageGroup>().get(factory.get()).is_none() {
            return Err(GroupError::NoFactory);
        }
        draft.require_present::<StorageGroup>(factory.get());
        draft.take_turn_of::<StorageGroup>(factory.get());
        free_name(draft, factory, None, name)?;
        if tables.device_groups().of_factory(factory).count() >= MOST_GROUPS {
            return Err(GroupError::TooMany);
        }
        let number = draft.next_id_of(SEQUENCE);
        let id = DeviceGroupId::new(number).ok_or(Refusal::NotFound {
            class: SEQUENCE,
            id: number,
        })?;
        draft.replace(&DeviceGroup {
            id,
            factory,
            name: name.to_owned(),
            description: description.to_owned(),
            meta: ChangeMeta::new(by, now),
            modified: 0,
        });
        Ok(id)
    });
    found(state, id.await?, name)
}

/// Changes a group.
///
/// # Errors
/// See [`GroupError`].
pub async fn edit(
    state: &State,
    factory: StorageGroupId,
    name: &str,
    terms: &Terms,
    by: u32,
) -> Result<Arc<DeviceGroup>, GroupError> {
    if let Some(new) = &terms.name {
        names::check(new)?;
    }
    check_description(terms.description.as_deref().unwrap_or_default())?;
    let now = Timestamp::now();
    let id = state.write::<_, GroupError>(|draft| {
        let before = of(draft.tables(), factory, name)?;
        let mut group = DeviceGroup::clone(before);
        if let Some(new) = &terms.name {
            free_name(draft, factory, Some(group.id), new)?;
            group.name.clone_from(new);
        }
        if let Some(description) = &terms.description {
            group.description.clone_from(description);
        }
        if group != **before {
            group.meta.touch(by, now);
            draft.replace(&group);
        }
        Ok(group.id)
    });
    found(state, id.await?, name)
}

/// Deletes a group that has no devices, with its configuration.
///
/// # Errors
/// See [`GroupError`].
pub async fn delete(state: &State, factory: StorageGroupId, name: &str) -> Result<(), GroupError> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let group = of(tables, factory, name)?;
            let turn = turn_of(group.id);
            draft.take_turn(&turn, group.id.get());
            let devices = tables.devices().in_group(group.id).count();
            if devices > 0 {
                return Err(GroupError::InUse {
                    name: name.to_owned(),
                    devices,
                });
            }
            draft.discard(&**group);
            removal::forget(draft, Level::Group(group.id));
            // The turn goes with the group.
            draft.operate(Op::Delete {
                key: key::announcement(&turn),
            });
            Ok(())
        })
        .await
}

fn of<'t>(
    tables: &'t Tables,
    factory: StorageGroupId,
    name: &str,
) -> Result<&'t Arc<DeviceGroup>, GroupError> {
    let group = tables.device_groups().named(factory, name);
    group.ok_or_else(|| GroupError::NotThere(name.to_owned()))
}

/// The group as it was stored; somebody may have deleted it since.
fn found(state: &State, id: DeviceGroupId, name: &str) -> Result<Arc<DeviceGroup>, GroupError> {
    let group = state.read(|tables| tables.device_groups().get(&id).cloned());
    group.ok_or_else(|| GroupError::NotThere(name.to_owned()))
}

fn check_description(text: &str) -> Result<(), GroupError> {
    match text.len() > LONGEST_DESCRIPTION {
        true => Err(GroupError::LongDescription),
        false => Ok(()),
    }
}

fn free_name(
    draft: &mut Draft<'_>,
    factory: StorageGroupId,
    own: Option<DeviceGroupId>,
    name: &str,
) -> Result<(), GroupError> {
    draft.take_turn(&format!("name-devicegroup-{factory}"), factory.get());
    match draft.tables().device_groups().named(factory, name) {
        Some(other) if Some(other.id) != own => Err(GroupError::NameTaken(name.to_owned())),
        _ => Ok(()),
    }
}
