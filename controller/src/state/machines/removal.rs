//! What goes with a device, a group or a factory, a host or an image. Apart from the records, which the tables hold.

use foghorn_types::{ImageId, StorageGroupId};

use super::config::{Level, StoredConfig};
use super::identity::{IdentityChoice, IdentityOf};
use super::tags::TargetTags;
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;
use crate::state::shelf::Record as _;
use crate::store::Compare;

/// Deletes all versions of the configuration at a level. The draft is worth nothing if there is a new
/// one meanwhile.
pub fn forget(draft: &mut Draft<'_>, level: Level) {
    let configs = draft.tables().device_configs();
    let next = configs.latest(level).map_or(0, |latest| latest.number) + 1;
    for version in configs.of(level) {
        draft.discard(&**version);
    }
    draft.require(Compare::Absent(StoredConfig::key_of(&(level, next))));
}

/// Deletes what belongs to a factory that goes. Whoever makes a device, a device group or an event queue
/// takes the turn of its storage group, as whoever deletes that does.
///
/// # Errors
/// When it still has devices or device groups.
pub fn forget_factory(draft: &mut Draft<'_>, factory: StorageGroupId) -> Result<(), Refusal> {
    let tables = draft.tables();
    let devices = tables.devices().iter();
    let devices = devices.filter(|device| device.factory == factory).count();
    let groups = tables.device_groups().of_factory(factory).count();
    if devices + groups > 0 {
        return Err(Refusal::Invalid {
            field: "id",
            why: format!(
                "{devices} devices and {groups} device groups belong to it as a factory: delete them first"
            ),
        });
    }
    forget(draft, Level::Factory(factory));
    for queue in tables.event_queues().of_factory(factory) {
        draft.discard(&**queue);
    }
    if let Some(policy) = tables.ring_policies().get(&factory) {
        draft.discard(&**policy);
    }
    Ok(())
}

/// Deletes what was said of the identity of an image or a host that goes. The draft is worth nothing if something is
/// said meanwhile.
pub fn forget_identity(draft: &mut Draft<'_>, of: IdentityOf) {
    match draft.tables().identity_choices().get(&of) {
        Some(choice) => draft.discard(&**choice),
        None => draft.require(Compare::Absent(IdentityChoice::key_of(&of))),
    }
}

/// Deletes what was said of the versions of an image that goes. The draft is worth nothing if more is said
/// meanwhile: whoever does relies on the content, which is there until then.
pub fn forget_tags(draft: &mut Draft<'_>, image: ImageId) {
    match draft.tables().target_tags().get(&image) {
        Some(tags) => draft.discard(&**tags),
        None => draft.require(Compare::Absent(TargetTags::key_of(&image))),
    }
}
