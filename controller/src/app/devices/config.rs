//! Configurations at their three levels: changed, and their history.
//!
//! A version is prepared outside of its transaction: it may be large, and compressing and encrypting
//! take longer than anybody should wait for the tables. The transaction makes sure that it follows the
//! version that it was made from.

use std::sync::Arc;

use foghorn_host_config::{ConfigCreate, ConfigFiles, ConfigVersion, FileName, KEPT_VERSIONS};
use foghorn_types::Timestamp;
use tracing::info;

pub use super::config_error::ConfigError;
use super::config_error::LONGEST_STORED;
use super::factories::user_code;
use super::paging::{Page, Paged};
use super::reimage::{self, Operator};
use super::secrets::{self, Next};
use crate::state::classes::StorageGroup;
use crate::state::machines::config::{ConfigBody, Level, StoredConfig};
use crate::state::machines::device::Device;
use crate::state::machines::group::DeviceGroup;
use crate::state::machines::packed::PackError;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables};
use crate::store::Compare;
use crate::trust::Trust;

/// Times that a version is prepared when others were faster.
const ATTEMPTS: usize = 20;

/// Who changes a configuration.
pub struct Author<'a> {
    /// Number of the user; 0 for the device itself.
    user: u32,
    /// His files may order that machines are imaged.
    operator: Option<Operator<'a>>,
}

impl From<u32> for Author<'_> {
    /// One whose files order nothing.
    fn from(user: u32) -> Self {
        Self {
            user,
            operator: None,
        }
    }
}

impl<'a> From<(u32, Operator<'a>)> for Author<'a> {
    fn from((user, operator): (u32, Operator<'a>)) -> Self {
        Self {
            user,
            operator: Some(operator),
        }
    }
}

/// Adds the files to the latest version, or replaces those of the same name. Gives the whole new
/// version; secrets of a group or a factory are empty in it.
///
/// # Errors
/// See [`ConfigError`].
pub async fn merge<'a>(
    state: &State,
    trust: &Trust,
    level: Level,
    change: &ConfigCreate,
    by: impl Into<Author<'a>>,
) -> Result<ConfigVersion, ConfigError> {
    add(state, trust, level, (&change.reason, by.into()), |before| {
        secrets::merged(trust, before, change)
    })
    .await
}

/// Replaces the latest version by exactly these files. Gives the new one, as [`merge`] does.
///
/// # Errors
/// See [`ConfigError`].
pub async fn replace<'a>(
    state: &State,
    trust: &Trust,
    level: Level,
    change: &ConfigCreate,
    by: impl Into<Author<'a>>,
) -> Result<ConfigVersion, ConfigError> {
    add(state, trust, level, (&change.reason, by.into()), |_| {
        Ok(change.replacing()?.into())
    })
    .await
}

/// Makes a version without this file.
///
/// # Errors
/// [`ConfigError::NoSuchFile`] when the latest version has none of that name; see [`ConfigError`].
pub async fn remove(
    state: &State,
    trust: &Trust,
    level: Level,
    name: &FileName,
    by: u32,
) -> Result<ConfigVersion, ConfigError> {
    let reason = format!("{name} removed");
    add(state, trust, level, (&reason, by.into()), |before| {
        secrets::without(trust, before, name)
    })
    .await
}

/// The versions of a level, the newest first. Secrets of a group or a factory are empty.
///
/// # Errors
/// When the level does not exist, or a version cannot be read.
pub fn history(
    state: &State,
    level: Level,
    page: Page,
) -> Result<Paged<ConfigVersion>, ConfigError> {
    let (device, versions) = state.read(|tables| {
        if !is_there(tables, level) {
            return Err(ConfigError::NotThere(level));
        }
        let versions: Vec<_> = tables.device_configs().of(level).cloned().collect();
        Ok((device_of(tables, level), versions))
    })?;
    let page = Paged::of(versions, page);
    let mut read = Vec::new();
    for version in &page.items {
        read.push(shown(version, device.as_deref())?);
    }
    Ok(Paged {
        items: read,
        page: page.page,
        pages: page.pages,
        limit: page.limit,
        total: page.total,
    })
}

/// The latest version of a level; `None` if there never was one. Secrets of a group or a factory are
/// empty.
///
/// # Errors
/// When it cannot be read.
pub fn latest(state: &State, level: Level) -> Result<Option<ConfigVersion>, PackError> {
    let (device, latest) = state.read(|tables| {
        let latest = tables.device_configs().latest(level).cloned();
        (device_of(tables, level), latest)
    });
    latest
        .map(|latest| shown(&latest, device.as_deref()))
        .transpose()
}

fn device_of(tables: &Tables, level: Level) -> Option<Arc<Device>> {
    match level {
        Level::Device(uuid) => tables.devices().get(&uuid).cloned(),
        Level::Factory(_) | Level::Group(_) => None,
    }
}

fn shown(version: &StoredConfig, device: Option<&Device>) -> Result<ConfigVersion, PackError> {
    let applied = device.and_then(|device| device.applied.get(&version.number));
    Ok(ConfigVersion {
        created_at: version.body.at,
        applied_at: applied.copied(),
        created_by: user_code(version.body.by),
        reason: version.body.reason.clone(),
        files: version.body.files.open()?,
    })
}

async fn add(
    state: &State,
    trust: &Trust,
    level: Level,
    (reason, by): (&str, Author<'_>),
    make: impl Fn(Option<&StoredConfig>) -> Result<Next, ConfigError>,
) -> Result<ConfigVersion, ConfigError> {
    for _ in 0..ATTEMPTS {
        let before = state.read(|tables| {
            if !is_there(tables, level) {
                return Err(ConfigError::NotThere(level));
            }
            Ok(tables.device_configs().latest(level).cloned())
        })?;
        let next = make(before.as_deref())?;
        let operator = by.operator.as_ref();
        let operator = match orders(level, before.as_deref(), &next.files, operator)? {
            true => operator,
            false => None,
        };
        let now = whole_second(Timestamp::now());
        let version = StoredConfig {
            level,
            number: before.as_ref().map_or(0, |before| before.number) + 1,
            body: ConfigBody {
                at: before
                    .as_ref()
                    .map_or(now, |before| now.max(before.body.at)),
                by: by.user,
                reason: reason.to_owned(),
                ..secrets::seal(trust, level, next, now)?
            },
            modified: 0,
        };
        let bytes = stored_bytes(&version.body);
        if bytes > LONGEST_STORED {
            return Err(ConfigError::TooLarge(bytes));
        }
        if put(state, before.as_deref(), &version, operator).await? {
            info!(%level, version = version.number, "configuration changed");
            return Ok(shown(&version, None)?);
        }
    }
    Err(Refusal::Contended.into())
}

/// Whether the files order that the machine is imaged.
fn orders(
    level: Level,
    before: Option<&StoredConfig>,
    files: &ConfigFiles,
    operator: Option<&Operator<'_>>,
) -> Result<bool, ConfigError> {
    if operator.is_none() {
        return Ok(false);
    }
    let before = before.map(|before| before.body.files.open()).transpose()?;
    Ok(reimage::is_ordered(level, before.as_ref(), files)?)
}

/// Stores the version if it still follows the one that it was made from. Those over the limit go.
/// `operator` has ordered with it that the machine is imaged.
async fn put(
    state: &State,
    before: Option<&StoredConfig>,
    version: &StoredConfig,
    operator: Option<&Operator<'_>>,
) -> Result<bool, ConfigError> {
    let level = version.level;
    state
        .write::<_, ConfigError>(|draft| {
            let tables = draft.tables();
            if !is_there(tables, level) {
                return Err(ConfigError::NotThere(level));
            }
            let latest = tables.device_configs().latest(level);
            let same = latest.map(|latest| (latest.number, latest.modified));
            if same != before.map(|before| (before.number, before.modified)) {
                return Ok(false);
            }
            require(draft, level);
            draft.replace(version);
            for old in tables.device_configs().of(level).skip(KEPT_VERSIONS - 1) {
                draft.discard(&**old);
            }
            if let (Some(operator), Level::Device(uuid)) = (operator, level) {
                reimage::order(draft, uuid, operator, Timestamp::now())?;
            }
            Ok(true)
        })
        .await
}

fn is_there(tables: &Tables, level: Level) -> bool {
    match level {
        Level::Factory(id) => tables.of::<StorageGroup>().get(id.get()).is_some(),
        Level::Group(id) => tables.device_groups().get(&id).is_some(),
        Level::Device(uuid) => tables.devices().get(&uuid).is_some(),
    }
}

fn require(draft: &mut Draft<'_>, level: Level) {
    match level {
        Level::Factory(id) => draft.require_present::<StorageGroup>(id.get()),
        Level::Group(id) => draft.require(Compare::Present(DeviceGroup::key_of(&id))),
        Level::Device(uuid) => draft.require(Compare::Present(Device::key_of(&uuid))),
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().div_euclid(1000) * 1000)
}

fn stored_bytes(body: &ConfigBody) -> usize {
    let secrets = body.secrets.as_ref().map_or(0, |sealed| sealed.0.len());
    body.files.bytes() + secrets + body.reason.len()
}
