//! Why the used bytes of a volume could not be found.

use std::io;

/// Why the used bytes of a volume could not be found.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadVolumeError {
    #[error("could not read {what}: {length} bytes at byte {offset} of the partition")]
    Read {
        what: &'static str,
        offset: u64,
        length: u64,
        source: io::Error,
    },
    #[error(
        "{what} of the {file_system} file system would be at byte {offset}, the partition has {size} bytes"
    )]
    Outside {
        file_system: &'static str,
        what: &'static str,
        offset: u64,
        size: u64,
    },
    #[error(
        "the {file_system} was not cleanly unmounted: {why} (shut the machine down completely, or accept it with --accept-dirty and the number of its partition)"
    )]
    Dirty {
        file_system: &'static str,
        why: &'static str,
    },
    #[error("the {file_system} file system is damaged: {what}")]
    Damaged {
        file_system: &'static str,
        what: String,
    },
}

impl ReadVolumeError {
    /// Whether the disk failed, and not what is on it.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Read { .. })
    }

    pub(super) fn damaged(file_system: &'static str, what: impl Into<String>) -> Self {
        Self::Damaged {
            file_system,
            what: what.into(),
        }
    }
}
