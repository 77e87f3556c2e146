//! Backups of one box: a folder each, with a copy of the embedded store at one moment and the
//! certificate authority, unless that is kept by others, such as in a Secret: its key is nowhere but
//! there. They are made while the controller works, and contain its secrets: only the owner of the
//! process can read them.
//!
//! With etcd there are none: etcd has its own.

mod files;
mod name;
mod restore;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{ByteCount, Timestamp};
use tokio::sync::Mutex;

pub(crate) use self::files::give_to_owner_of;
pub use self::name::{BackupName, Kind};
pub use self::restore::{RestoreError, Restored, restore, restore_store};
use crate::store::{CopyError, Store};

/// Name of the store in a data directory and in a backup.
pub(crate) const STORE_FILE: &str = "store.redb";
/// Name of the authority's folder in both.
pub(crate) const AUTHORITY_FOLDER: &str = "ca";
/// Name of the folder of backups in a data directory, unless the configuration names another one.
pub(crate) const BACKUPS_FOLDER: &str = "backups";
/// A backup that is being made. Whatever has this name is of an attempt that was broken off.
const UNFINISHED: &str = ".unfinished";
/// Room that a backup leaves on its file system, which may be that of the store.
const KEEP_FREE: ByteCount = ByteCount::from_mib(64);

/// Makes and lists the backups of one controller.
pub struct Backups {
    folder: PathBuf,
    /// `None`: it is not in a folder of ours.
    authority: Option<PathBuf>,
    store: Arc<dyn Store>,
    /// One is made at a time.
    making: Mutex<()>,
}

/// One whole backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    pub name: BackupName,
    pub path: PathBuf,
    /// Of the copy of the store.
    pub size: ByteCount,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("could not write the backup to {path}{}", may_not(path, source), path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there is not enough room for a backup on the file system of {path}: {free} are free, {wanted} are needed; make room, or set backup.dir to a folder elsewhere", path = path.display())]
    Full {
        path: PathBuf,
        free: ByteCount,
        wanted: ByteCount,
    },
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// What to do about a folder that the user or the unit of the service may not write to.
fn may_not(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => format!(
            " (if it is not mounted read-only: permit it to the service, by `systemctl edit` and the line ReadWritePaths={} in [Service])",
            path.display()
        ),
        io::ErrorKind::PermissionDenied => {
            " (it has to belong to the user of the service)".to_owned()
        }
        _ => String::new(),
    }
}

impl Backups {
    /// `authority`: the folder of ours that has it, if one has.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        authority: impl Into<Option<PathBuf>>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self {
            folder,
            authority: authority.into(),
            store,
            making: Mutex::new(()),
        }
    }

    /// Makes a backup of what is stored now. It has its name when it is whole and on the disk.
    ///
    /// # Errors
    /// See [`BackupError`]; nothing is left then that looks like a backup.
    pub async fn make(&self, kind: Kind, now: Timestamp) -> Result<Backup, BackupError> {
        let _alone = self.making.lock().await;
        let unfinished = self.folder.join(UNFINISHED);
        let write = |source| BackupError::Write {
            path: self.folder.clone(),
            source,
        };
        let condition = self.store.condition().await;
        if condition.engine != "embedded" {
            return Err(CopyError::NotHere.into());
        }
        files::start(&self.folder, &unfinished).map_err(write)?;
        self.refuse_full(condition.used.unwrap_or_default())?;
        let store = unfinished.join(STORE_FILE);
        files::create_private(&store).map_err(write)?;
        let copied = self.store.copy_to(&store).await;
        let whole = copied.map_err(BackupError::from).and_then(|_| {
            foghorn_faults::fail!("controller.backup.copied").map_err(write)?;
            self.copy_authority(&unfinished)
                .and_then(|()| self.finish(&unfinished, kind, now))
                .map_err(write)
        });
        if whole.is_err() {
            // What is left of it goes with the next attempt.
            let _ = fs::remove_dir_all(&unfinished);
        }
        whole
    }

    fn copy_authority(&self, unfinished: &Path) -> io::Result<()> {
        match &self.authority {
            Some(authority) => files::copy_folder(authority, &unfinished.join(AUTHORITY_FOLDER)),
            None => Ok(()),
        }
    }

    /// Gives the backup the first free name of this second or a later one.
    fn finish(&self, unfinished: &Path, kind: Kind, now: Timestamp) -> io::Result<Backup> {
        let mut name = BackupName::new(kind, now);
        while self.folder.join(name.to_string()).exists() {
            name = BackupName::new(kind, name.made() + Duration::from_secs(1));
        }
        let path = self.folder.join(name.to_string());
        let size = fs::metadata(unfinished.join(STORE_FILE))?.len();
        foghorn_faults::fail!("controller.backup.before-name")?;
        files::move_into_place(unfinished, &path)?;
        Ok(Backup {
            name,
            path,
            size: ByteCount::from_bytes(size),
        })
    }

    fn refuse_full(&self, store: ByteCount) -> Result<(), BackupError> {
        let write = |source| BackupError::Write {
            path: self.folder.clone(),
            source,
        };
        let free = files::free(&self.folder).map_err(write)?;
        let wanted = ByteCount::from_bytes(store.bytes().saturating_add(KEEP_FREE.bytes()));
        // A file system that does not say how large it is has room.
        match free {
            Some(free) if free < wanted => Err(BackupError::Full {
                path: self.folder.clone(),
                free,
                wanted,
            }),
            _ => Ok(()),
        }
    }

    /// The whole backups, the oldest first. What has other names is not looked at.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Backup>> {
        list_in(&self.folder)
    }

    /// Whether no scheduled backup is younger than `every`. One from the future, of a clock that was
    /// wrong, does not count.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn is_due(&self, every: Duration, now: Timestamp) -> io::Result<bool> {
        let recent = |backup: &Backup| {
            let made = backup.name.made();
            backup.name.kind() == Kind::Scheduled && made <= now && now.since(made) < every
        };
        Ok(!self.list()?.iter().any(recent))
    }

    /// Deletes the oldest scheduled backups beyond `keep`, and returns how many they were.
    ///
    /// # Errors
    /// When the folder cannot be read, or one cannot be deleted.
    pub fn forget_old(&self, keep: usize) -> io::Result<usize> {
        let scheduled: Vec<Backup> = self
            .list()?
            .into_iter()
            .filter(|backup| backup.name.kind() == Kind::Scheduled)
            .collect();
        let old = &scheduled[..scheduled.len().saturating_sub(keep)];
        for backup in old {
            // With its own name it would pass for whole after half of it is gone.
            let going = self.folder.join(UNFINISHED);
            let _ = fs::remove_dir_all(&going);
            fs::rename(&backup.path, &going)?;
            fs::remove_dir_all(&going)?;
        }
        Ok(old.len())
    }
}

/// As [`Backups::list`], without a controller.
pub(crate) fn list_in(folder: &Path) -> io::Result<Vec<Backup>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = entry.path();
        if let Ok(store) = fs::metadata(path.join(STORE_FILE)) {
            let size = ByteCount::from_bytes(store.len());
            found.push(Backup { name, path, size });
        }
    }
    found.sort_by_key(|backup| (backup.name.made(), backup.name));
    Ok(found)
}
