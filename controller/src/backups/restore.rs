//! Putting a backup back into the data directory of a controller that is stopped.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use foghorn_types::{ByteCount, Timestamp, chain};

use super::{AUTHORITY_FOLDER, BackupName, Kind, STORE_FILE, files};
use crate::store::Revision;
use crate::store::embedded::{OpenEmbeddedError, check_copy};
use crate::trust::Trust;

/// Where a copy of the backup is looked at before anything is replaced.
const CANDIDATE: &str = ".restoring";

/// What was put back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    pub revision: Revision,
    /// Keys of the store.
    pub entries: u64,
    pub size: ByteCount,
    /// What was there before, if there was something.
    pub before: Option<PathBuf>,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "restored {} entries ({}, revision {})",
            self.entries, self.size, self.revision
        )?;
        match &self.before {
            None => Ok(()),
            Some(before) => write!(f, "; what was there before is in {}", before.display()),
        }
    }
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{path} is not a backup: it has no {missing}", path = path.display())]
    NotABackup {
        path: PathBuf,
        missing: &'static str,
    },
    #[error("the backup {path} has no certificate authority: if that of its controller is kept by others, such as in a Secret, name its folder by trust.authority_dir in the configuration, and restore again; else choose another backup", path = path.display())]
    NoAuthority { path: PathBuf },
    /// `why` speaks of the backup, not of the copy that was looked at.
    #[error("the backup {path} cannot be used: {why}", path = path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("{path} is in use: stop the controller first", path = path.display())]
    InUse { path: PathBuf },
    #[error("could not read or write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Replaces the store and the authority in `data_dir` by those of `backup`. A copy of the backup is
/// checked first, and what it replaces is kept beside it.
///
/// # Errors
/// See [`RestoreError`]; the data directory then works as before.
pub fn restore(data_dir: &Path, backup: &Path, now: Timestamp) -> Result<Restored, RestoreError> {
    put_back(data_dir, backup, Parts::All, now)
}

/// As [`restore`] for a controller whose authority is kept by others: only the store is replaced. At the
/// next start it is compared with the authority that is there.
///
/// # Errors
/// As [`restore`].
pub fn restore_store(
    data_dir: &Path,
    backup: &Path,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    put_back(data_dir, backup, Parts::Store, now)
}

/// What of a backup is put back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// The store and the authority.
    All,
    Store,
}

fn put_back(
    data_dir: &Path,
    backup: &Path,
    parts: Parts,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    if !backup.join(STORE_FILE).exists() {
        return Err(RestoreError::NotABackup {
            path: backup.to_owned(),
            missing: STORE_FILE,
        });
    }
    if parts == Parts::All && !backup.join(AUTHORITY_FOLDER).exists() {
        return Err(RestoreError::NoAuthority {
            path: backup.to_owned(),
        });
    }
    let candidate = data_dir.join(CANDIDATE);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    files::start(data_dir, &candidate).map_err(at(data_dir))?;
    let done = check_and_replace((data_dir, backup), parts, &candidate, now);
    // Of a failure to remove it nothing depends: the next one begins anew.
    let _ = fs::remove_dir_all(&candidate);
    done
}

fn check_and_replace(
    (data_dir, backup): (&Path, &Path),
    parts: Parts,
    candidate: &Path,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    let (store, authority) = (candidate.join(STORE_FILE), candidate.join(AUTHORITY_FOLDER));
    let copy_authority = || match parts {
        Parts::All => files::copy_folder(&backup.join(AUTHORITY_FOLDER), &authority),
        Parts::Store => Ok(()),
    };
    files::copy(&backup.join(STORE_FILE), &store)
        .and_then(|()| copy_authority())
        .and_then(|()| files::give_to_owner_of(data_dir, candidate))
        .map_err(|source| RestoreError::Io {
            path: backup.to_owned(),
            source,
        })?;
    if parts == Parts::All && !Trust::exists(&authority) {
        return Err(RestoreError::NotABackup {
            path: backup.to_owned(),
            missing: "certificate authority",
        });
    }
    let unusable = |why: String| RestoreError::Unusable {
        path: backup.to_owned(),
        // Of a copy of the backup nobody has heard.
        why: why.replace(
            &candidate.display().to_string(),
            &backup.display().to_string(),
        ),
    };
    Trust::load(&authority).map_err(|error| unusable(chain(&error).to_string()))?;
    let checked = check_copy(&store).map_err(|error| unusable(in_words(&error)))?;
    let size = fs::metadata(&store).map_or(0, |file| file.len());
    // Held until the end, so that no controller starts meanwhile.
    let _locked = lock(&data_dir.join(STORE_FILE))?;
    let before = set_aside(data_dir, now)
        .and_then(|before| put_in_place(data_dir, candidate, parts).map(|()| before))
        .map_err(|source| RestoreError::Io {
            path: data_dir.to_owned(),
            source,
        })?;
    Ok(Restored {
        revision: checked.revision,
        entries: checked.entries,
        size: ByteCount::from_bytes(size),
        before,
    })
}

/// Of a running controller's store, the error would ask for a backup.
fn in_words(error: &OpenEmbeddedError) -> String {
    match error {
        OpenEmbeddedError::Damaged { what, .. } => {
            format!("its store is damaged ({what}): choose another backup")
        }
        other => chain(other).to_string(),
    }
}

/// The lock that a controller holds on its store; `None` when there is no store.
fn lock(store: &Path) -> Result<Option<File>, RestoreError> {
    let at = |source| RestoreError::Io {
        path: store.to_owned(),
        source,
    };
    let file = match File::open(store) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(RestoreError::InUse {
            path: store.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(at(error)),
    }
}

/// Keeps a second name of the store and a copy of the authority. Nothing is taken away: a crash
/// leaves a data directory that still works.
fn set_aside(data_dir: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let (store, authority) = (data_dir.join(STORE_FILE), data_dir.join(AUTHORITY_FOLDER));
    if !store.exists() && !authority.exists() {
        return Ok(None);
    }
    let time = BackupName::new(Kind::Asked, now).time();
    let before = (1..)
        .map(|number| match number {
            1 => data_dir.join(format!("before-restore-{time}")),
            _ => data_dir.join(format!("before-restore-{time}-{number}")),
        })
        .find(|folder| !folder.exists())
        .ok_or_else(|| io::Error::other("every name is taken"))?;
    files::create_folder(&before)?;
    if store.exists() {
        let kept = before.join(STORE_FILE);
        // Not every file system has second names.
        fs::hard_link(&store, &kept).or_else(|_| files::copy(&store, &kept))?;
    }
    if authority.exists() {
        files::copy_folder(&authority, &before.join(AUTHORITY_FOLDER))?;
    }
    files::give_to_owner_of(data_dir, &before)?;
    File::open(&before)?.sync_all()?;
    Ok(Some(before))
}

/// The authority first: a store whose authority is another refuses to start and says so, which a
/// second restore mends.
fn put_in_place(data_dir: &Path, candidate: &Path, parts: Parts) -> io::Result<()> {
    if parts == Parts::All {
        put_authority_in_place(data_dir, candidate)?;
    }
    files::move_into_place(&candidate.join(STORE_FILE), &data_dir.join(STORE_FILE))
}

fn put_authority_in_place(data_dir: &Path, candidate: &Path) -> io::Result<()> {
    let authority = data_dir.join(AUTHORITY_FOLDER);
    files::create_folder(&authority)?;
    files::give_to_owner_of(data_dir, &authority)?;
    for entry in fs::read_dir(candidate.join(AUTHORITY_FOLDER))? {
        let entry = entry?;
        files::move_into_place(&entry.path(), &authority.join(entry.file_name()))?;
    }
    Ok(())
}
