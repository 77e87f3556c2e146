//! Files and folders that only their owner can read, and that are on the disk when a function
//! returns.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::Path;

use foghorn_types::ByteCount;
use rustix::fs::statvfs;

/// Makes `folder` if it is missing, and an empty `unfinished`, whose earlier content is of an
/// attempt that was broken off.
pub(super) fn start(folder: &Path, unfinished: &Path) -> io::Result<()> {
    create_folder(folder)?;
    match fs::remove_dir_all(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_folder(unfinished)
}

pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Copies the plain files of a folder to a new one, also those that the folder has by links, as a
/// mounted Secret of Kubernetes does.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    create_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if fs::metadata(entry.path())?.is_file() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    File::open(to)?.sync_all()
}

pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = create_private(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()
}

/// Renames, so that after a power failure there is the old name or the new one, and all content.
pub(super) fn move_into_place(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        File::open(from)?.sync_all()?;
    }
    fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Gives a folder and what is in it to the owner of `model`, so that what root puts there can be
/// used by the service.
pub(crate) fn give_to_owner_of(model: &Path, folder: &Path) -> io::Result<()> {
    let owner = fs::metadata(model)?;
    give_to(&owner, folder)
}

fn give_to(owner: &Metadata, path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if (found.uid(), found.gid()) != (owner.uid(), owner.gid()) {
        lchown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to(owner, &entry?.path())?;
        }
    }
    Ok(())
}

/// Room for this process on the file system of `folder`; `None` when it does not say.
pub(super) fn free(folder: &Path) -> io::Result<Option<ByteCount>> {
    let stat = statvfs(folder)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok((stat.f_blocks > 0).then(|| ByteCount::from_bytes(free)))
}
