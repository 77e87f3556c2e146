//! What a device is to have: the configurations of its factory, its group and its own, in one.
//!
//! Whether it has that already follows from times alone ([`given`]). Only what is sent is read, decrypted and encrypted
//! for the device ([`Due::make`]), outside of the tables.

use std::sync::Arc;

use foghorn_host_config::conditional::{self, Answer};
use foghorn_host_config::ecies::Randomness;
use foghorn_host_config::effective::{self, Effective, Level as Part, Levels};
use foghorn_host_config::{ConfigFiles, Document, SealError};
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
    Due(Due),
}

/// A configuration that a device does not have yet. To make it takes long where it has many secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    device: MachineUuid,
    public_key: String,
    parts: Parts,
    date: Timestamp,
}

/// What a device is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenConfig {
    /// Secrets are encrypted for the device in it, at whatever level they were set.
    pub document: Document,
    /// What `Date` says.
    pub date: Timestamp,
    /// The number of the device's own version in it: see [`fetched`].
    pub version: Option<u32>,
}

/// Why a device gets no configuration.
#[derive(Debug, thiserror::Error)]
pub enum EffectiveError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error("could not read the configuration of {level}")]
    Config { level: Level, source: ConfigError },
    /// We issue no certificate for a key that nobody can encrypt for; whoever has the authority can.
    #[error("device {device}: the secrets of its factory and its group cannot be encrypted for it")]
    Seal {
        device: MachineUuid,
        source: SealError,
    },
}

/// The present versions of the levels of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
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

impl Due {
    /// Reads the levels and encrypts the secrets of factory and group for the device: a device of which somebody has the disk
    /// keeps them as it keeps its own. `None`: there is none after all.
    ///
    /// # Errors
    /// See [`EffectiveError`]. No secret is given in clear because it could not be encrypted.
    pub fn make(self, trust: &Trust) -> Result<Option<GivenConfig>, EffectiveError> {
        let Some(effective) = self.parts.effective(trust)? else {
            return Ok(None);
        };
        let document = effective.document(&self.public_key, random);
        let document = document.map_err(|source| EffectiveError::Seal {
            device: self.device,
            source,
        })?;
        Ok(Some(GivenConfig {
            document,
            date: self.date,
            version: self.parts.device.map(|version| version.number),
        }))
    }
}

/// # Panics
/// Without random numbers, as everything does that speaks TLS.
fn random() -> Randomness {
    const NONE: &str = "a system without random numbers cannot run TLS either";
    let (mut scalar, mut iv) = ([0; 32], [0; 16]);
    getrandom::fill(&mut scalar).expect(NONE);
    getrandom::fill(&mut iv).expect(NONE);
    Randomness { scalar, iv }
}

/// Answers a device, from the times of its configurations alone.
///
/// # Errors
/// [`EffectiveError::NotThere`].
pub fn given(
    state: &State,
    uuid: MachineUuid,
    if_modified_since: Option<&str>,
    now: Timestamp,
) -> Result<Given, EffectiveError> {
    let found = state.read(|tables| {
        let device = tables.devices().get(&uuid);
        device.map(|device| (Parts::of(tables, device), device.public_key.clone()))
    });
    let (parts, public_key) = found.ok_or(EffectiveError::NotThere(uuid))?;
    let Some(changed) = parts.changed() else {
        return Ok(Given::Nothing);
    };
    Ok(match conditional::answer(if_modified_since, changed, now) {
        Answer::NotModified => Given::NotModified,
        Answer::Modified { date } => Given::Due(Due {
            device: uuid,
            public_key,
            parts,
            date,
        }),
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
