//! Configurations of machines, at three levels: each version is a record of its own, since ten of
//! them do not fit into one transaction.
//!
//! The versions of a level have consecutive numbers. Whoever makes one takes the number after the
//! latest, and nobody else gets that one; whoever deletes the level requires that there is none with
//! the next number.

use std::fmt;
use std::sync::Arc;

use foghorn_host_config::ConfigFiles;
use foghorn_types::{DeviceGroupId, MachineUuid, StorageGroupId, Timestamp};
use serde::{Deserialize, Serialize};

use super::packed::Packed;
use crate::state::notify::Sealed;
use crate::state::shelf::{Record, Shelf};
use crate::store::Revision;

/// Keys of configurations: this, the level, and the number of the version with ten digits.
const PREFIX: &str = "/foghorn/v1/device-config/";

/// What a configuration is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// All devices of a factory.
    Factory(StorageGroupId),
    /// The devices of a group.
    Group(DeviceGroupId),
    Device(MachineUuid),
}

/// One version of the configuration at one level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredConfig {
    pub level: Level,
    /// From 1.
    pub number: u32,
    pub body: ConfigBody,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConfigBody {
    /// When it was made, whole seconds; not before the version before it.
    pub at: Timestamp,
    /// Number of the user who made it; 0 for the device itself.
    pub by: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Its files. Secrets of a device are here, encrypted for it; those of other levels are not.
    pub files: Packed<ConfigFiles>,
    /// Secrets of a group or a factory: values by the names of the files, encrypted. `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Sealed>,
}

impl fmt::Display for Level {
    /// As in keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory(id) => write!(f, "factory/{:010}", id.get()),
            Self::Group(id) => write!(f, "group/{:010}", id.get()),
            Self::Device(uuid) => write!(f, "device/{uuid}"),
        }
    }
}

impl Level {
    fn read(kind: &str, id: &str) -> Option<Self> {
        Some(match kind {
            "factory" => Self::Factory(StorageGroupId::new(id.parse().ok()?)?),
            "group" => Self::Group(DeviceGroupId::new(id.parse().ok()?)?),
            "device" => Self::Device(id.parse().ok()?),
            _ => return None,
        })
    }
}

impl Record for StoredConfig {
    const WHAT: &'static str = "configuration of devices";
    type Id = (Level, u32);
    type Body = ConfigBody;
    type Index = ();

    fn id(&self) -> (Level, u32) {
        (self.level, self.number)
    }

    fn key_of((level, number): &(Level, u32)) -> String {
        format!("{PREFIX}{level}/{number:010}")
    }

    fn id_in(key: &str) -> Option<(Level, u32)> {
        let mut parts = key.strip_prefix(PREFIX)?.split('/');
        let level = Level::read(parts.next()?, parts.next()?)?;
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some((level, number))
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> ConfigBody {
        self.body.clone()
    }

    fn from_body((level, number): (Level, u32), body: ConfigBody, modified: Revision) -> Self {
        Self {
            level,
            number,
            body,
            modified,
        }
    }
}

impl Shelf<StoredConfig> {
    /// The versions of a level that are kept, the newest first.
    pub fn of(&self, level: Level) -> impl Iterator<Item = &Arc<StoredConfig>> {
        self.range((level, 0)..=(level, u32::MAX)).rev()
    }

    /// The present version of a level; `None` if there never was one.
    #[must_use]
    pub fn latest(&self, level: Level) -> Option<&Arc<StoredConfig>> {
        self.of(level).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Op};

    fn levels() -> [Level; 4] {
        [
            Level::Factory(StorageGroupId::new(1).unwrap()),
            Level::Group(DeviceGroupId::new(1).unwrap()),
            Level::Device(MachineUuid::from_bits(1)),
            Level::Device(MachineUuid::from_bits(2)),
        ]
    }

    #[test]
    fn versions_of_one_level_are_apart_from_those_of_others() {
        let mut shelf = Shelf::<StoredConfig>::default();
        for (place, level) in levels().into_iter().enumerate() {
            for number in 1..=u32::try_from(place).unwrap() {
                let body = ConfigBody {
                    at: Timestamp::from_millis(number.into()),
                    by: 1,
                    reason: String::new(),
                    files: Packed::new(&ConfigFiles::default()).unwrap(),
                    secrets: None,
                };
                let version = StoredConfig {
                    level,
                    number,
                    body,
                    modified: 0,
                };
                let Op::Put { key, value } = version.put_op() else {
                    panic!("not a put")
                };
                assert_eq!(StoredConfig::id_in(&key), Some((level, number)));
                let entry = Entry {
                    key,
                    value,
                    created: 1,
                    modified: 5,
                };
                shelf.apply(&Change::Put(entry)).unwrap();
            }
        }
        let numbers = levels().map(|level| {
            let versions = shelf.of(level).map(|version| version.number);
            versions.collect::<Vec<_>>()
        });
        assert_eq!(numbers, [vec![], vec![1], vec![2, 1], vec![3, 2, 1]]);
        assert_eq!(shelf.latest(levels()[2]).unwrap().number, 2);
        for key in [
            "device-config/device/x/1",
            "device-config/factory/0000000000/0000000001",
            "device-config/group/0000000001/0000000001/2",
        ] {
            assert_eq!(StoredConfig::id_in(&format!("/foghorn/v1/{key}")), None);
        }
    }
}
