//! The file that is open, or why it is not: opened once at start and again after every failure,
//! because redb does nothing more once a write or a read has failed.

use std::any::Any;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use foghorn_types::{ByteCount, chain};
use redb::{Database, DatabaseError};
use rustix::fs::{Advice, StatVfs, fadvise, statvfs};

use super::OpenEmbeddedError;
use super::tables::{self, Checked, Start};
use crate::store::{Revision, StoreError};

/// Memory for pages of the file. The watch cache serves reads, so the engine needs little.
const PAGE_CACHE_BYTES: usize = 32 << 20;
/// Writes are refused when the file system has less room than this, before redb fails half-way.
const KEEP_FREE: u64 = 1 << 20;

/// Opens the file at start, or makes it, and looks at every page of it.
pub(super) fn open(path: &Path) -> Result<(Database, Start), OpenEmbeddedError> {
    catching(path, || {
        let mut db = builder()
            .create(path)
            .map_err(|error| refused(path, error))?;
        let is_whole = db.check_integrity().map_err(|error| refused(path, error))?;
        if !is_whole {
            tracing::warn!(
                path = %path.display(),
                "the store was damaged and has been repaired; its last changes may be missing"
            );
        }
        let start = tables::prepare(&db).map_err(|error| open_failed(path, error))?;
        if start.format != tables::FORMAT {
            return Err(OpenEmbeddedError::Format {
                path: path.to_owned(),
                found: start.format,
            });
        }
        Ok((db, start))
    })
}

/// Looks at every page of a copy, which must be a whole store.
///
/// # Errors
/// When it is damaged, was broken off, or is no store of ours.
pub fn check_copy(path: &Path) -> Result<Checked, OpenEmbeddedError> {
    let damaged = |what: String| OpenEmbeddedError::Damaged {
        path: path.to_owned(),
        what,
    };
    catching(path, || {
        let mut db = builder().open(path).map_err(|error| refused(path, error))?;
        if !db.check_integrity().map_err(|error| refused(path, error))? {
            return Err(damaged("its checksums are wrong".to_owned()));
        }
        let (format, found) = tables::glance(&db).map_err(|error| damaged(error.to_string()))?;
        match format {
            tables::FORMAT => Ok(found),
            0 => Err(damaged("it is not whole".to_owned())),
            newer => Err(OpenEmbeddedError::Format {
                path: path.to_owned(),
                found: newer,
            }),
        }
    })
}

/// Opens the file again after a failure and writes to it, so that one that cannot be written is not
/// taken for open. Another file that came in its place, as when its file system is not mounted, is
/// left alone.
///
/// A repair writes, and one that a failing disk breaks off can destroy what was whole before it. So
/// a copy is opened, and takes the place of the file when all of it is on the disk. Without room for
/// a copy the file itself is opened, if the disk has just taken something else.
pub(super) fn open_again(path: &Path, known: Revision) -> Result<(Database, Revision), Trouble> {
    forget_unflushed(path).map_err(|error| Trouble::of_open(&error))?;
    let len = std::fs::metadata(path).map_or(0, |file| file.len());
    let has_room = Space::of(path).is_ok_and(|space| {
        space.total.bytes() == 0 || space.free.bytes() > len.saturating_add(KEEP_FREE)
    });
    if !has_room {
        try_disk(path).map_err(|error| Trouble(of_io(path, &error)))?;
        return open_checked(path, known);
    }
    let copy = path.with_extension("again");
    let opened = copy_durably(path, &copy)
        .map_err(|error| Trouble(of_io(path, &error)))
        .and_then(|()| open_checked(&copy, known))
        .and_then(|opened| {
            replace(&copy, path).map_err(|error| Trouble(of_io(path, &error)))?;
            Ok(opened)
        });
    if opened.is_err() {
        // What is left of it is overwritten by the next attempt.
        let _ = std::fs::remove_file(&copy);
    }
    opened
}

fn open_checked(path: &Path, known: Revision) -> Result<(Database, Revision), Trouble> {
    let opened = catching(path, || {
        let db = builder().open(path).map_err(|error| refused(path, error))?;
        let found = tables::revision(&db).map_err(|error| open_failed(path, error))?;
        if found >= known {
            tables::prepare(&db).map_err(|error| open_failed(path, error))?;
        }
        Ok((db, found))
    });
    match opened {
        Ok((_, found)) if found < known => Err(Trouble::of_loss(path, known, found)),
        Ok(opened) => Ok(opened),
        Err(error) => Err(Trouble::of_open(&error)),
    }
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes as much as must be free beside the file.
fn try_disk(path: &Path) -> io::Result<()> {
    let scratch = path.with_extension("try");
    let written = std::fs::write(&scratch, vec![1; usize::try_from(KEEP_FREE).unwrap_or(0)])
        .and_then(|()| File::open(&scratch)?.sync_all());
    let removed = std::fs::remove_file(&scratch);
    written.and(removed)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(PAGE_CACHE_BYTES);
    builder
}

/// redb panics on some damaged files.
fn catching<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, OpenEmbeddedError>,
) -> Result<T, OpenEmbeddedError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(OpenEmbeddedError::Damaged {
            path: path.to_owned(),
            what: words_of(&*panic),
        })
    })
}

fn refused(path: &Path, error: DatabaseError) -> OpenEmbeddedError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenEmbeddedError::InUse {
            path: path.to_owned(),
        },
        other => open_failed(path, other.into()),
    }
}

/// Pages that the kernel failed to write stay in its memory as if they were on the disk. What is
/// built on them would be lost with them, so they are read from the disk again.
fn forget_unflushed(path: &Path) -> Result<(), OpenEmbeddedError> {
    let forgotten = match File::open(path) {
        Ok(file) => file
            .sync_all()
            .and_then(|()| fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    forgotten.map_err(|error| open_failed(path, error.into()))
}

fn open_failed(path: &Path, error: redb::Error) -> OpenEmbeddedError {
    let path = path.to_owned();
    match error {
        redb::Error::Corrupted(what) => OpenEmbeddedError::Damaged { path, what },
        redb::Error::Io(error) if is_damage(&error) => OpenEmbeddedError::Damaged {
            path,
            what: error.to_string(),
        },
        source => OpenEmbeddedError::Open {
            path,
            source: Box::new(source),
        },
    }
}

/// What redb says of a file that is too short or does not begin as its files do.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// What a panic said.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown")
        .to_owned()
}

/// Why the store does not work now, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble(String);

impl Trouble {
    pub(super) fn of_write(path: &Path, error: &redb::Error) -> Self {
        let shown = path.display();
        Self(match error {
            redb::Error::Io(error) => of_io(path, error),
            redb::Error::PreviousIo => format!(
                "{shown} could not be read: see the kernel's log for the disk and its file system"
            ),
            redb::Error::Corrupted(what) => damaged(path, what),
            other => format!("{shown}: {}", chain(other)),
        })
    }

    pub(super) fn of_open(error: &OpenEmbeddedError) -> Self {
        match error {
            OpenEmbeddedError::Open { path, source } => Self::of_write(path, source),
            other => Self(chain(other).to_string()),
        }
    }

    pub(super) fn of_panic(path: &Path, panic: &(dyn Any + Send)) -> Self {
        Self(damaged(path, &words_of(panic)))
    }

    /// For calls that come while the file is being opened again.
    pub(super) fn opening(path: &Path) -> Self {
        Self(format!("{} is being opened again", path.display()))
    }

    /// The disk has lost what it had confirmed. Going on would hide it.
    pub(super) fn of_loss(path: &Path, had: Revision, has: Revision) -> Self {
        Self(format!(
            "{} has gone back from revision {had} to {has}: its disk lost changes that it had confirmed, or it is another file. Mount the right file system; otherwise check the disk, then restore a backup, or restart the controller to go on without these changes",
            path.display()
        ))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn while_doing(&self, doing: &'static str) -> StoreError {
        StoreError::Unwritable {
            doing,
            why: self.0.clone(),
        }
    }
}

fn of_io(path: &Path, error: &io::Error) -> String {
    use io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let shown = path.display();
    match error.kind() {
        StorageFull => full(path, Space::of(path).ok().as_ref()),
        NotFound => format!("{shown} is missing: mount its file system, or restore a backup"),
        QuotaExceeded | FileTooLarge => {
            format!("{shown} must not become larger ({error}): raise the quota or the limit")
        }
        ReadOnlyFilesystem => format!(
            "the file system of {shown} is read-only: see the kernel's log for the reason, check the disk, and mount it writable again"
        ),
        _ => format!(
            "{shown} could not be read or written ({error}): see the kernel's log for the disk and its file system"
        ),
    }
}

fn full(path: &Path, space: Option<&Space>) -> String {
    let room = space.map_or_else(String::new, |space| {
        format!(" ({} of {} free)", space.free, space.total)
    });
    format!(
        "the file system of {} is full{room}: make room there, the store then goes on by itself",
        path.display()
    )
}

fn damaged(path: &Path, what: &str) -> String {
    format!(
        "{} is damaged ({what}): stop the controller and restore a backup",
        path.display()
    )
}

/// How much room the file system of the store has.
pub(super) struct Space {
    pub(super) free: ByteCount,
    pub(super) total: ByteCount,
}

impl Space {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let stat: StatVfs = statvfs(&folder)?;
        // What is reserved for root is nobody's room, as on storage nodes: one disk has one figure.
        let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
        let bytes = |blocks: u64| ByteCount::from_bytes(blocks.saturating_mul(stat.f_frsize));
        Ok(Self {
            free: bytes(stat.f_bavail),
            total: bytes(stat.f_blocks.saturating_sub(reserved)),
        })
    }

    /// Why there is no room for a change of so many bytes. A file system that does not say how
    /// large it is has room.
    pub(super) fn refuse(path: &Path, bytes: usize) -> Option<Trouble> {
        let space = Self::of(path).ok()?;
        // Pages are written anew with what they hold beside the change.
        let wanted = KEEP_FREE.saturating_add(2 * bytes as u64);
        let is_full = space.total.bytes() > 0 && space.free.bytes() < wanted;
        is_full.then(|| Trouble(full(path, Some(&space))))
    }
}
