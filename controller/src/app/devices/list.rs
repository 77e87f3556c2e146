//! Finding devices and showing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_types::{ImageId, MachineUuid, StorageGroupId, Timestamp};

use super::filter::{self, Facts, Filter, Reach, Sort};
use super::newest::{self, Candidate, Follower};
use super::paging::{Page, Paged};
use super::{factories, targets};
use crate::state::machines::device::Device;
use crate::state::machines::group::DeviceGroup;
use crate::state::machines::sightings::Sightings;
use crate::state::{State, Tables};

/// A device with what follows from other records.
#[derive(Clone, Debug)]
pub struct Shown {
    pub device: Arc<Device>,
    pub name: String,
    /// Name of its factory.
    pub factory: String,
    pub group: Option<Arc<DeviceGroup>>,
    /// `None`: it has not spoken yet.
    pub last_seen: Option<Timestamp>,
    pub is_up_to_date: bool,
}

/// A device with what it is asked for by.
struct Known<'t> {
    device: &'t Arc<Device>,
    name: String,
    group: Option<&'t Arc<DeviceGroup>>,
    last_seen: Option<Timestamp>,
}

impl Known<'_> {
    fn facts(&self) -> Facts<'_> {
        let Device {
            uuid,
            factory,
            owner,
            is_prod,
            ref running,
            ..
        } = **self.device;
        Facts {
            uuid,
            factory,
            name: &self.name,
            tag: &running.tag,
            target: &running.target,
            group: self.group.map_or("", |group| &group.name),
            owner,
            is_prod,
            last_seen: self.last_seen,
        }
    }
}

/// Devices of the factories in reach that pass the filter.
#[must_use]
pub fn list(
    state: &State,
    seen: &Sightings,
    reach: &Reach,
    filter: &Filter,
    sort: &[Sort],
    page: Page,
) -> Paged<Shown> {
    let ready = filter.ready();
    state.read(|tables| {
        let devices = tables.devices().iter();
        let in_reach = devices.filter(|device| reach.has(device.factory));
        let known = in_reach.map(|device| know(tables, seen, device));
        let mut all: Vec<_> = known.filter(|known| ready.takes(&known.facts())).collect();
        all.sort_by(|one, other| filter::compare(sort, &one.facts(), &other.facts()));
        let mut rings = Rings::new(tables);
        Paged::of(all, page).map(|known| rings.show(known))
    })
}

/// One device, whole.
#[must_use]
pub fn show(state: &State, seen: &Sightings, uuid: MachineUuid) -> Option<Shown> {
    state.read(|tables| {
        let device = tables.devices().get(&uuid)?;
        Some(Rings::new(tables).shown(seen, device))
    })
}

/// The device that a caller means: by its UUID, or else by its name, which is unique in a factory. Of
/// several factories in reach the first one counts that has such a device. Without a factory all in
/// reach are meant.
#[must_use]
pub fn find(
    tables: &Tables,
    reach: &Reach,
    factory: Option<StorageGroupId>,
    text: &str,
) -> Option<MachineUuid> {
    let fits = |device: &Device| {
        reach.has(device.factory) && factory.is_none_or(|factory| factory == device.factory)
    };
    if let Ok(uuid) = text.parse::<MachineUuid>() {
        let device = tables.devices().get(&uuid).filter(|device| fits(device));
        return device.map(|device| device.uuid);
    }
    let named = |device: &&Arc<Device>| fits(device) && device.shown_name(tables) == text;
    let found = tables.devices().iter().filter(named);
    let found = found.min_by_key(|device| (device.factory, device.uuid));
    found.map(|device| device.uuid)
}

fn know<'t>(tables: &'t Tables, seen: &Sightings, device: &'t Arc<Device>) -> Known<'t> {
    Known {
        device,
        name: device.shown_name(tables),
        group: device
            .group
            .and_then(|group| tables.device_groups().get(&group.id)),
        last_seen: seen.last(device),
    }
}

/// What of a device decides about its target.
pub(super) fn follower(tables: &Tables, device: &Device) -> Follower {
    let group = device
        .group
        .and_then(|group| tables.device_groups().get(&group.id));
    Follower {
        target: device.running.target.clone(),
        hash: device.running.hash.clone(),
        tag: device.running.tag.clone(),
        hardware_id: device.hardware_id.clone(),
        image: device
            .host_row(tables)
            .and_then(|row| ImageId::new(row.image)),
        is_prod: device.is_prod,
        is_online: false,
        group: group.map(|group| group.name.clone()),
    }
}

/// Targets of factories, each looked up once for all devices that are shown with it.
pub struct Rings<'t> {
    tables: &'t Tables,
    targets: BTreeMap<StorageGroupId, Vec<Candidate>>,
}

impl<'t> Rings<'t> {
    #[must_use]
    pub fn new(tables: &'t Tables) -> Self {
        Self {
            tables,
            targets: BTreeMap::new(),
        }
    }

    /// A device with what follows from other records.
    pub fn shown(&mut self, seen: &Sightings, device: &'t Arc<Device>) -> Shown {
        self.show(know(self.tables, seen, device))
    }

    fn show(&mut self, known: Known<'_>) -> Shown {
        let factory = known.device.factory;
        let tables = self.tables;
        let all = self
            .targets
            .entry(factory)
            .or_insert_with(|| targets::candidates(tables, factory));
        Shown {
            is_up_to_date: newest::is_up_to_date(&follower(tables, known.device), all),
            factory: factories::name_of(tables, factory),
            device: known.device.clone(),
            name: known.name,
            group: known.group.cloned(),
            last_seen: known.last_seen,
        }
    }
}
