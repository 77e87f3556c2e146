//! The journal of snapins: what has begun, and how it ended, until the gateway has taken that. With it a snapin runs once,
//! whenever the machine or this service dies.

use serde::{Deserialize, Serialize};

use super::super::storage::{Storage, StorageError};
use super::power::PowerCommand;

const NOTE: &str = "snapin-journal";

/// One snapin; the next one begins when this one is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) task: u32,
    pub(super) name: String,
    /// The start of the machine in which it began.
    pub(super) boot: String,
    /// `None` while it runs.
    pub(super) ended: Option<End>,
    /// What it wants of the machine once its result is taken.
    pub(super) after: Option<PowerCommand>,
}

/// How a snapin ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) exit_code: i32,
    pub(super) details: String,
}

/// What is told of a snapin during which the machine stopped, or this service.
pub(super) const CUT_OFF: i32 = -2;
/// What is told of a snapin that was never started.
pub(super) const NOT_RUN: i32 = -1;

impl Entry {
    /// Its end. One that has begun and not ended was cut off, and is not run again: half of it may be done.
    pub(super) fn end(&self) -> End {
        let cut_off = || End {
            exit_code: CUT_OFF,
            details: "the machine, or its host service, stopped while it ran; it is not run again"
                .to_owned(),
        };
        self.ended.clone().unwrap_or_else(cut_off)
    }

    /// What it still wants of the machine, which may have started again since.
    pub(super) fn still_wanted(&self, boot: &str) -> Option<PowerCommand> {
        self.after
            .filter(|_| self.ended.is_some() && self.boot == boot)
    }
}

/// # Errors
/// The file system's.
pub(super) fn read(storage: &Storage) -> Result<Option<Entry>, StorageError> {
    storage.note(NOTE)
}

/// # Errors
/// The file system's.
pub(super) fn write(storage: &Storage, entry: &Entry) -> Result<(), StorageError> {
    storage.store_note(NOTE, entry)
}

/// # Errors
/// The file system's.
pub(super) fn forget(storage: &Storage) -> Result<(), StorageError> {
    storage.forget(NOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_cut_off_is_told_as_such_and_wants_nothing() {
        let mut entry = Entry {
            task: 5,
            name: "office".to_owned(),
            boot: "b1".to_owned(),
            ended: None,
            after: Some(PowerCommand::Reboot),
        };
        assert_eq!(entry.end().exit_code, CUT_OFF);
        assert_eq!(entry.still_wanted("b1"), None);
        let end = End {
            exit_code: 3,
            details: "x".to_owned(),
        };
        entry.ended = Some(end.clone());
        assert_eq!(entry.end(), end);
        assert_eq!(entry.still_wanted("b1"), Some(PowerCommand::Reboot));
        assert_eq!(entry.still_wanted("b2"), None, "it has started again");
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path());
        assert_eq!(read(&storage).unwrap(), None);
        write(&storage, &entry).unwrap();
        assert_eq!(read(&storage).unwrap(), Some(entry));
        forget(&storage).unwrap();
        assert_eq!(read(&storage).unwrap(), None);
    }
}
