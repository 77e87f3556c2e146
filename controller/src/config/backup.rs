//! `[backup]`: copies of the embedded store that the controller makes by itself.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;

/// How often the embedded store is backed up, and where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupConfig {
    /// Time between two backups; `None`: only when somebody asks for one. Default 24 hours.
    pub every: Option<Duration>,
    /// How many of those are kept. Default 7. What somebody asked for stays until it is removed by
    /// hand.
    pub keep: usize,
    /// Default: `backups` in the data directory.
    pub folder: Option<PathBuf>,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            every: Some(HOUR * 24),
            keep: 7,
            folder: None,
        }
    }
}

/// A year: longer is never.
const MOST_HOURS: u32 = 366 * 24;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackup {
    every_hours: Option<u32>,
    keep: Option<usize>,
    dir: Option<PathBuf>,
}

impl RawBackup {
    pub(super) fn check(self) -> Result<BackupConfig, ConfigError> {
        let default = BackupConfig::default();
        let every = match self.every_hours {
            None => default.every,
            Some(0) => None,
            Some(hours) if hours <= MOST_HOURS => Some(HOUR * hours),
            Some(_) => {
                return Err(ConfigError::Value {
                    key: "backup.every_hours",
                    why: format!("must be at most {MOST_HOURS}; 0 makes none"),
                });
            }
        };
        let keep = self.keep.unwrap_or(default.keep);
        if keep == 0 {
            return Err(ConfigError::Value {
                key: "backup.keep",
                why: "must be at least 1; set every_hours to 0 to make none".to_owned(),
            });
        }
        Ok(BackupConfig {
            every,
            keep,
            folder: self.dir,
        })
    }
}
