//! Telling people about a device.

use foghorn_types::{HostId, NoticeKind, Timestamp};

use crate::app::notices;
use crate::state::Draft;
use crate::state::machines::device::Device;
use crate::state::notify;

/// Adds the event to the draft, as one of the host that the device is.
pub(super) fn tell(
    draft: &mut Draft<'_>,
    device: &Device,
    (kind, text): (NoticeKind, String),
    now: Timestamp,
) {
    let host = device.host_row(draft.tables());
    let event = notify::Event {
        host: host.map(|row| notify::Named {
            id: row.id,
            name: row.name.clone(),
        }),
        ..notify::Event::new(kind, now, text)
    };
    let hosts: Vec<HostId> = device.host.iter().map(|bound| bound.to).collect();
    notices::tell(draft, &event, &hosts);
}
