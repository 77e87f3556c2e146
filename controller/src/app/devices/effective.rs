//! What a device is to have: the configurations of its factory, its group and its own, in one.

use std::sync::Arc;

use foghorn_host_config::ConfigFiles;
use foghorn_host_config::conditional::{self, Answer};
use foghorn_host_config::effective::{self, Effective, Level as Part, Levels};
use foghorn_types::{MachineUuid, Timestamp};

use super::config::ConfigError;
use super::queues::events::{Event, tell};
use super::secrets;
use crate::state::machines::config::{Level, StoredConfig};
use crate::state::machines::device::Device;
use crate::state::{Refusal, State, Tables};
use crate::trust::Trust;

/// The answer to a device that asks for its configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Given {
    /// There is none and never was.
    Nothing,
    /// It has it already.
    NotModified,
    Config {
        effective: Effective,
        /// What `Date` says.
        date: Timestamp,
        /// The number of the device's own version in it: see [`fetched`].
        version: Option<u32>,
    },
}

/// Why a device gets no configuration.
#[derive(Debug, thiserror::Error)]
pub enum EffectiveError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error("could not read the configuration of {level}")]
    Config { level: Level, source: ConfigError },
}

/// The present versions of the levels of a device.
struct Parts {
    factory: Option<Arc<StoredConfig>>,
    group: Option<Arc<StoredConfig>>,
    device: Option<Arc<StoredConfig>>,
    regrouped: Option<Timestamp>,
}

impl Parts {
    fn of(tables: &Tables, device: &Device) -> Self {
        let configs = tables.device_configs();
        let latest = |level| configs.latest(level).cloned();
        Self {
            factory: latest(Level::Factory(device.factory)),
            group: device
                .group
                .and_then(|group| latest(Level::Group(group.id))),
            device: latest(Level::Device(device.uuid)),
            regrouped: device.regrouped,
        }
    }

    /// Without any files: enough for the time.
    fn changed(&self) -> Option<Timestamp> {
        let none = ConfigFiles::default();
        let part = |version: &Option<Arc<StoredConfig>>| {
            version.as_ref().map(|version| Part {
                files: &none,
                changed: version.body.at,
            })
        };
        effective::when_changed(&Levels {
            factory: part(&self.factory),
            group: part(&self.group),
            device: part(&self.device),
            membership_changed: self.regrouped,
        })
    }

    fn effective(&self, trust: &Trust) -> Result<Option<Effective>, EffectiveError> {
        let open = |version: &Option<Arc<StoredConfig>>| {
            let Some(version) = version else {
                return Ok(None);
            };
            let files = secrets::open(trust, version).map_err(|source| EffectiveError::Config {
                level: version.level,
                source,
            })?;
            Ok(Some((files, version.body.at)))
        };
        let (factory, group, device) = (
            open(&self.factory)?,
            open(&self.group)?,
            open(&self.device)?,
        );
        let levels = Levels {
            factory: part(&factory),
            group: part(&group),
            device: part(&device),
            membership_changed: self.regrouped,
        };
        Ok(effective::effective(&levels))
    }
}

fn part(opened: &Option<(ConfigFiles, Timestamp)>) -> Option<Part<'_>> {
    opened.as_ref().map(|(files, changed)| Part {
        files,
        changed: *changed,
    })
}

/// Answers a device. Secrets of its group and its factory are in clear in the answer.
///
/// # Errors
/// See [`EffectiveError`].
pub fn given(
    state: &State,
    trust: &Trust,
    uuid: MachineUuid,
    if_modified_since: Option<&str>,
    now: Timestamp,
) -> Result<Given, EffectiveError> {
    let parts = state.read(|tables| {
        let device = tables.devices().get(&uuid);
        device.map(|device| Parts::of(tables, device))
    });
    let parts = parts.ok_or(EffectiveError::NotThere(uuid))?;
    let Some(changed) = parts.changed() else {
        return Ok(Given::Nothing);
    };
    let date = match conditional::answer(if_modified_since, changed, now) {
        Answer::NotModified => return Ok(Given::NotModified),
        Answer::Modified { date } => date,
    };
    Ok(match parts.effective(trust)? {
        None => Given::Nothing,
        Some(effective) => Given::Config {
            effective,
            date,
            version: parts.device.as_ref().map(|version| version.number),
        },
    })
}

/// Notes that the device has this version of its own configuration. The first time counts. Returns
/// whether it was that.
///
/// # Errors
/// As any write.
pub async fn fetched(
    state: &State,
    uuid: MachineUuid,
    version: u32,
    now: Timestamp,
) -> Result<bool, Refusal> {
    let is_new = |tables: &Tables| {
        let device = tables.devices().get(&uuid);
        device.is_some_and(|device| !device.applied.contains_key(&version))
    };
    if !state.read(is_new) {
        return Ok(false);
    }
    state
        .write(|draft| {
            let tables = draft.tables();
            if !is_new(tables) {
                return Ok(false);
            }
            let Some(device) = tables.devices().get(&uuid) else {
                return Ok(false);
            };
            let mut device = Device::clone(device);
            let own = || tables.device_configs().of(Level::Device(uuid));
            device
                .applied
                .retain(|number, _| own().any(|kept| kept.number == *number));
            device.applied.insert(version, now);
            tell(draft, &device, Event::ConfigApplied, now);
            device.last_seen = device.last_seen.max(Some(now));
            draft.replace(&device);
            Ok(true)
        })
        .await
}
