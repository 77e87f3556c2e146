//! The versions of one level that are kept.

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ConfigFiles;

/// Versions that are kept at one level, the present one included.
pub const KEPT_VERSIONS: usize = 10;

/// One version, which does not change any more but for `applied_at`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// When it was made.
    pub created_at: Timestamp,
    /// When the device has fetched it; only a device's versions have one.
    #[serde(default)]
    pub applied_at: Option<Timestamp>,
    /// Id of the user who made it.
    pub created_by: String,
    /// Words of that user.
    pub reason: String,
    /// The whole version.
    pub files: ConfigFiles,
}

/// The versions of one level, newest first, at most [`KEPT_VERSIONS`].
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<ConfigVersion>);

impl History {
    /// The present version; `None` when there never was one.
    #[must_use]
    pub fn latest(&self) -> Option<&ConfigVersion> {
        self.0.first()
    }

    /// The files of the present version; none when there is none.
    #[must_use]
    pub fn files(&self) -> ConfigFiles {
        self.latest()
            .map(|latest| latest.files.clone())
            .unwrap_or_default()
    }

    /// All that are kept, newest first.
    #[must_use]
    pub fn versions(&self) -> &[ConfigVersion] {
        &self.0
    }

    /// Makes this one the present version; the oldest is dropped when there are too many.
    pub fn push(&mut self, version: ConfigVersion) {
        self.0.insert(0, version);
        self.0.truncate(KEPT_VERSIONS);
    }

    /// Notes that the device has fetched the present version. The first time counts: `false` when it was noted already, or
    /// there is no version.
    pub fn applied(&mut self, at: Timestamp) -> bool {
        match self.0.first_mut() {
            Some(latest) if latest.applied_at.is_none() => {
                latest.applied_at = Some(at);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: i64) -> ConfigVersion {
        ConfigVersion {
            created_at: Timestamp::from_millis(number),
            applied_at: None,
            created_by: "u".to_owned(),
            reason: number.to_string(),
            files: ConfigFiles::default(),
        }
    }

    #[test]
    fn ten_versions_are_kept_newest_first() {
        let mut history = History::default();
        assert!(history.latest().is_none());
        for number in 1..=12 {
            history.push(version(number));
        }
        let reasons: Vec<_> = history
            .versions()
            .iter()
            .map(|version| version.reason.as_str())
            .collect();
        assert_eq!(
            reasons,
            ["12", "11", "10", "9", "8", "7", "6", "5", "4", "3"]
        );
    }

    #[test]
    fn the_first_fetch_of_a_version_is_noted() {
        let mut history = History::default();
        assert!(!history.applied(Timestamp::from_millis(1)));
        history.push(version(1));
        assert!(history.applied(Timestamp::from_millis(2)));
        assert!(!history.applied(Timestamp::from_millis(3)));
        assert_eq!(
            history.latest().unwrap().applied_at,
            Some(Timestamp::from_millis(2))
        );
        history.push(version(4));
        assert_eq!(history.latest().unwrap().applied_at, None);
    }
}
