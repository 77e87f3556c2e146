//! Secrets of the configurations of groups and factories: they leave the files of a version, and are
//! encrypted under the certificate authority. Those of a device are encrypted for it already, and stay.
//!
//! Under another authority they cannot be read any more. Then the versions that are possible are those that
//! do not lose one without a word: all are given again, or one is removed.

use std::collections::BTreeMap;

use foghorn_host_config::{ConfigCreate, ConfigFile, ConfigFiles, FileName, NoSuchFile};
use foghorn_types::Timestamp;

use super::config_error::ConfigError;
use crate::state::machines::config::{ConfigBody, Level, StoredConfig};
use crate::state::machines::packed::{Packed, pack, unpack};
use crate::state::notify::Sealed;
use crate::trust::{SealError, Trust};

/// The files of a version to be.
pub(super) struct Next {
    pub(super) files: ConfigFiles,
    /// Secrets of the version before that nobody can read, as they were: all secrets of `files` are in here.
    kept: Option<Sealed>,
}

impl From<ConfigFiles> for Next {
    fn from(files: ConfigFiles) -> Self {
        Self { files, kept: None }
    }
}

/// What can be read of a version.
enum Opened {
    All(ConfigFiles),
    /// Without the values of these, which are empty.
    Without(ConfigFiles, Vec<FileName>),
}

/// The files of the version before, with those of the change added or in place of their like.
///
/// # Errors
/// [`ConfigError::Unreadable`] with the secrets that the change would have to give again.
pub(super) fn merged(
    trust: &Trust,
    before: Option<&StoredConfig>,
    change: &ConfigCreate,
) -> Result<Next, ConfigError> {
    let Some(before) = before else {
        return Ok(ConfigFiles::default().merged(change)?.into());
    };
    let files = match read(trust, before)? {
        Opened::All(files) => files,
        Opened::Without(files, mut names) => {
            names.retain(|name| change.files.iter().all(|file| file.name != *name));
            if !names.is_empty() {
                return Err(ConfigError::Unreadable(names));
            }
            files
        }
    };
    Ok(files.merged(change)?.into())
}

/// The files of the version before without this one.
///
/// # Errors
/// [`ConfigError::Unreadable`] when there are secrets that cannot be read, and it is none of them.
pub(super) fn without(
    trust: &Trust,
    before: Option<&StoredConfig>,
    name: &FileName,
) -> Result<Next, ConfigError> {
    let Some(before) = before else {
        return Err(NoSuchFile(name.clone()).into());
    };
    match read(trust, before)? {
        Opened::All(files) => Ok(files.without(name)?.into()),
        Opened::Without(files, names) => {
            let files = files.without(name)?;
            if !names.contains(name) {
                return Err(ConfigError::Unreadable(names));
            }
            let kept = before.body.secrets.clone().filter(|_| names.len() > 1);
            Ok(Next { files, kept })
        }
    }
}

/// The files of a version with all secrets; those of a device stay as they are.
///
/// # Errors
/// When they cannot be decrypted, or are not what they should be.
pub(super) fn open(trust: &Trust, version: &StoredConfig) -> Result<ConfigFiles, ConfigError> {
    match read(trust, version)? {
        Opened::All(files) => Ok(files),
        Opened::Without(_, names) => Err(ConfigError::Unreadable(names)),
    }
}

fn read(trust: &Trust, version: &StoredConfig) -> Result<Opened, ConfigError> {
    let files = version.body.files.open()?;
    let Some(sealed) = &version.body.secrets else {
        return Ok(Opened::All(files));
    };
    let bytes = match trust.unseal_bytes(&label(version.level), &sealed.0) {
        Ok(bytes) => bytes,
        Err(SealError::Open) => {
            let secrets = files.iter().filter(|file| !file.unencrypted);
            let names = secrets.map(|file| file.name.clone()).collect();
            return Ok(Opened::Without(files, names));
        }
        Err(error) => return Err(error.into()),
    };
    let mut secrets: BTreeMap<FileName, String> = unpack(&bytes)?;
    let mut list: Vec<ConfigFile> = files.into();
    for file in &mut list {
        if let Some(value) = secrets.remove(&file.name) {
            file.value = value;
        }
    }
    Ok(Opened::All(ConfigFiles::new(list)?))
}

/// The files as they are stored. Secrets of a group or a factory leave them and are encrypted.
pub(super) fn seal(
    trust: &Trust,
    level: Level,
    next: Next,
    at: Timestamp,
) -> Result<ConfigBody, ConfigError> {
    let Next { files, kept } = next;
    let mut secrets = BTreeMap::<FileName, String>::new();
    let files = if kept.is_some() || matches!(level, Level::Device(_)) {
        files
    } else {
        let mut list: Vec<ConfigFile> = files.into();
        for file in list.iter_mut().filter(|file| !file.unencrypted) {
            secrets.insert(file.name.clone(), std::mem::take(&mut file.value));
        }
        ConfigFiles::new(list)?
    };
    let sealed = match secrets.is_empty() {
        true => kept,
        false => Some(Sealed(trust.seal_bytes(&label(level), pack(&secrets)?)?)),
    };
    Ok(ConfigBody {
        at,
        by: 0,
        reason: String::new(),
        files: Packed::new(&files)?,
        secrets: sealed,
    })
}

/// What secrets are sealed as: those of one level are not read as those of another.
fn label(level: Level) -> String {
    format!("configuration of {level}")
}
