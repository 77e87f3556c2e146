//! What a device runs after it was imaged: the disk was verified, so the device need not say it.

use super::targets;
use crate::state::Draft;
use crate::state::machines::device::Device;
use crate::state::run::{Run, RunKind};

/// The deploy of a host has completed: the device that is this host runs what was written.
pub(crate) fn deployed(draft: &mut Draft<'_>, run: &Run) {
    let RunKind::Deploy {
        manifest: Some(manifest),
        version,
    } = run.kind
    else {
        return;
    };
    let tables = draft.tables();
    let Some(before) = tables.devices().of_host(run.host) else {
        return;
    };
    let content = tables.contents().get(&run.image);
    let kept = || Some(content?.with_manifest(manifest)?.version);
    let row = tables.images().get(run.image.get());
    let mut device = Device::clone(before);
    device.running.hash = manifest.to_string();
    device.running.target = match (row, version.or_else(kept)) {
        (Some(row), Some(version)) => targets::name_of(row, version),
        _ => String::new(),
    };
    if device != **before {
        draft.replace(&device);
    }
}
