//! What is told of the imaging of a device: in its updates, in the words of devices, and in the event
//! queues of its factory. Both are in the transaction in which it happens.

use foghorn_types::Timestamp;

use crate::app::devices::queues::events::{self, Event};
use crate::state::Draft;
use crate::state::machines::device::Device;
use crate::state::machines::policy::RingOrder;
use crate::state::machines::updates::{DeviceUpdates, UpdateEvent};
use crate::state::shelf::Record as _;

/// What has happened to an order.
pub(super) enum Told {
    /// By whom, or why.
    Ordered(String),
    Begun,
    /// Whether it went well, and why it did not.
    Ended(bool, String),
}

/// Adds an event to the updates of a device, and tells the queues when the update begins or ends. An order
/// ends once, whatever the device says of it.
pub(super) fn tell(
    draft: &mut Draft<'_>,
    device: &Device,
    order: &RingOrder,
    told: Told,
    now: Timestamp,
) {
    let (id, target) = (&*order.id, &*order.target);
    let queued = match &told {
        Told::Ordered(_) => Some(Event::Started { id, target }),
        Told::Begun => None,
        Told::Ended(success, _) => Some(Event::Completed {
            id,
            target,
            success: *success,
        }),
    };
    if let Some(event) = queued {
        events::tell(draft, device, event, now);
    }
    // The device must not go meanwhile, and leave its updates behind.
    draft.require(device.unchanged());
    let stored = draft.tables().device_updates().get(&device.uuid);
    let stored = stored.map(|stored| DeviceUpdates::clone(stored));
    let mut updates = stored.unwrap_or_else(|| DeviceUpdates::none(device.uuid));
    updates.add(&order.id, event_of(order, told, now), now);
    draft.replace(&updates);
}

/// As a device would tell it.
fn event_of(order: &RingOrder, told: Told, now: Timestamp) -> UpdateEvent {
    let (id, kind, success, details) = match told {
        Told::Ordered(details) => ("ordered", "EcuDownloadStarted", None, details),
        Told::Begun => ("begun", "EcuInstallationStarted", None, String::new()),
        Told::Ended(success, why) => ("ended", "EcuInstallationCompleted", Some(success), why),
    };
    UpdateEvent {
        id: id.to_owned(),
        kind: kind.to_owned(),
        device_time: now.to_string(),
        version: order.version.to_string(),
        target: order.target.clone(),
        success,
        details,
    }
}
