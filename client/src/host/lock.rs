//! One extraction at a time, and one that does the work of the host: the service, its step at boot and whoever checks in by hand.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONFIG: &str = "foghorn-host.lock";
/// Its own, as a snapin may take long.
const WORK: &str = "foghorn-host-work.lock";
/// How long another one is waited for. Not for ever: a handler that checks in would wait for itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why it is not this one's turn.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("could not lock {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("another foghorn-host still works on the config (it holds {})", path.display())]
    Busy { path: PathBuf },
}

/// Held until it is dropped, or the process ends in whichever way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// When another one has it for too long.
    pub(super) fn take(storage: &Path) -> Result<Self, LockError> {
        Self::take_within(storage, CONFIG, PATIENCE)
    }

    /// For the work of the host. `None` when another one does it.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn take_work(storage: &Path) -> Result<Option<Self>, LockError> {
        match Self::take_within(storage, WORK, Duration::ZERO) {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Busy { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn take_within(storage: &Path, name: &str, patience: Duration) -> Result<Self, LockError> {
        let path = storage.join(name);
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).mode(0o600).open(&path);
        let file = opened.map_err(|source| LockError::Lock {
            path: path.clone(),
            source,
        })?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Busy { path }),
                Err(TryLockError::Error(source)) => return Err(LockError::Lock { path, source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = Lock::take(folder.path()).unwrap();
        let second = Lock::take_within(folder.path(), CONFIG, Duration::ZERO);
        assert!(matches!(second, Err(LockError::Busy { .. })));
        let work = Lock::take_work(folder.path()).unwrap();
        assert!(work.is_some(), "it does not wait for the config");
        assert!(Lock::take_work(folder.path()).unwrap().is_none());
        drop(held);
        Lock::take_within(folder.path(), CONFIG, Duration::ZERO).unwrap();
    }
}
