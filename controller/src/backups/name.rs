//! Names of backups: why and when each was made.

use std::fmt;
use std::str::FromStr;

use foghorn_types::Timestamp;

/// Why a backup was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// By the controller itself; the oldest of these are deleted.
    Scheduled,
    /// Because somebody asked; stays until it is removed by hand.
    Asked,
}

impl Kind {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Asked => "asked",
        }
    }
}

/// Such as `2026-11-29T030000Z-scheduled`: a folder lists them by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BackupName {
    kind: Kind,
    /// In whole seconds.
    made: Timestamp,
}

#[derive(Debug, thiserror::Error)]
#[error("this is not the name of a backup, such as 2026-11-29T030000Z-scheduled")]
pub struct ParseBackupNameError;

impl BackupName {
    /// The part of a second is cut off.
    #[must_use]
    pub fn new(kind: Kind, made: Timestamp) -> Self {
        let made = Timestamp::from_millis(made.as_millis().div_euclid(1000) * 1000);
        Self { kind, made }
    }

    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn made(self) -> Timestamp {
        self.made
    }

    /// Such as `2026-11-29T030000Z`.
    #[must_use]
    pub fn time(self) -> String {
        self.made.to_name()
    }

    /// What the first versions wrote.
    fn kind_first(self) -> String {
        format!("{}-{}", self.kind.word(), self.time())
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time(), self.kind.word())
    }
}

impl FromStr for BackupName {
    type Err = ParseBackupNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        for kind in [Kind::Scheduled, Kind::Asked] {
            let word = kind.word();
            let time = text
                .strip_suffix(word)
                .and_then(|rest| rest.strip_suffix('-'));
            let old = text
                .strip_prefix(word)
                .and_then(|rest| rest.strip_prefix('-'));
            let Some(made) = time.or(old).and_then(Timestamp::from_name) else {
                continue;
            };
            let name = Self::new(kind, made);
            // Only what this program writes, or wrote.
            if name.to_string() == text || name.kind_first() == text {
                return Ok(name);
            }
        }
        Err(ParseBackupNameError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() -> Result<(), Box<dyn std::error::Error>> {
        let made = Timestamp::from_millis(1_796_000_000_999);
        for kind in [Kind::Scheduled, Kind::Asked] {
            let name = BackupName::new(kind, made);
            assert_eq!(name.to_string().parse::<BackupName>()?, name);
            assert_eq!(name.kind_first().parse::<BackupName>()?, name);
        }
        let name = BackupName::new(Kind::Asked, made);
        assert_eq!(name.to_string(), "2026-11-30T005320Z-asked");
        assert_eq!(name.kind_first(), "asked-2026-11-30T005320Z");
        Ok(())
    }

    #[test]
    fn other_names_are_not_those_of_backups() {
        for text in [
            "",
            ".unfinished",
            "scheduled-",
            "scheduled-2026-11-29",
            "2026-11-29-scheduled",
            "scheduled-2026-11-29T03:00:00Z",
            "2026-11-29T03:00:00Z-scheduled",
            "scheduled-2026-11-29T030000Z.old",
            "scheduled-2026-11-29T030000+01:00",
            "scheduled-2026-13-29T030000Z",
            "2026-13-29T030000Z-scheduled",
            "before-restore-2026-11-29T030000Z",
            "scheduled-2026-11-29Tüü",
            "2026-11-29Tüü-scheduled",
            "2026-11-29T030000Z-before-restore",
            "2026-11-29T030000Z",
        ] {
            assert!(text.parse::<BackupName>().is_err(), "{text}");
        }
    }
}
