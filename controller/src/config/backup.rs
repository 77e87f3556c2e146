//! `[backup]`: copies of the embedded store that the controller makes by itself.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
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
/// Default of `backup.every_hours`.
const EVERY_HOURS: u32 = 24;

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            every: Some(HOUR * EVERY_HOURS),
            keep: 7,
            folder: None,
        }
    }
}

/// A year: longer is never.
const MOST_HOURS: u32 = 366 * 24;

/// Copies of the embedded store that the controller makes by itself.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackup {
    /// Hours between two of them; 0: only `foghorn backup create` makes one.
    #[schemars(range(max = MOST_HOURS))]
    #[schemars(extend("default" = EVERY_HOURS))]
    every_hours: Option<u32>,
    /// How many of them are kept.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = BackupConfig::default().keep))]
    keep: Option<usize>,
    /// Their folder. Default: `backups` in the data directory. Another one has to belong to the
    /// user of the service, and its unit has to permit it: `systemctl edit`, in `[Service]` the
    /// line `ReadWritePaths=/srv/foghorn-backups`
    #[schemars(extend("examples" = ["/srv/foghorn-backups"]))]
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
