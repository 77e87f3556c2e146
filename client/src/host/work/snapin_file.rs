//! The file of a snapin: fetched to a folder of its own, and verified before anything of it runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use foghorn_host_config::work::command::is_file_name;
use foghorn_rest_types::native::SnapinRun;
use ring::digest::{Context, SHA512};
use tokio_util::sync::CancellationToken;

use super::super::gateway::{FetchError, Gateway};
use super::unpack::UnpackError;

/// What stays free.
const RESERVE: u64 = 16 << 20;
const PIECE: usize = 1 << 16;
/// Hexadecimal digits of a SHA-512.
const DIGITS: usize = 128;

/// Why a snapin does not run, and will not another time either.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnfitError {
    #[error("the server knows no SHA-512 of its file; upload the file again")]
    NoHash,
    #[error("its file has no name that a file can have ({0:?})")]
    Name(String),
    #[error("its file needs {needed} bytes, and {} has {free} bytes free", folder.display())]
    NoRoom {
        folder: PathBuf,
        needed: u64,
        free: u64,
    },
    #[error("its file has another size or SHA-512 than the server says")]
    Changed,
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not unpack it")]
    Unpack(#[from] UnpackError),
    #[error("its command line cannot be used")]
    Command(#[from] foghorn_host_config::work::command::BadCommand),
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Unfit(#[from] UnfitError),
    #[error("could not fetch its file")]
    Fetch(#[from] FetchError),
}

/// A folder that is removed with what is in it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new and empty one, for root only.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn make(path: PathBuf) -> Result<Self, UnfitError> {
        let made = remove(&path).and_then(|()| {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&path)
        });
        match made {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(UnfitError::Write { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "could not remove the folder of a snapin");
        }
    }
}

/// Removes a folder with what is in it, if it is there.
///
/// # Errors
/// The file system's.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether so much can be written here.
///
/// # Errors
/// When it cannot.
pub(super) fn has_room(folder: &Path, needed: u64) -> Result<(), UnfitError> {
    let found = rustix::fs::statvfs(folder).map_err(|error| UnfitError::Write {
        path: folder.to_owned(),
        source: error.into(),
    })?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if needed.saturating_add(RESERVE) <= free {
        return Ok(());
    }
    let folder = folder.to_owned();
    Err(UnfitError::NoRoom {
        folder,
        needed,
        free,
    })
}

/// Fetches the file of a snapin; where it is.
///
/// # Errors
/// [`FileError`]; nothing that is not what the server says has a name that runs then.
pub(super) fn fetch(
    run: &SnapinRun,
    folder: &Folder,
    gateway: &Gateway,
    stop: &CancellationToken,
) -> Result<PathBuf, FileError> {
    let hash = run.sha512.to_ascii_lowercase();
    if hash.len() != DIGITS || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(UnfitError::NoHash.into());
    }
    if !is_file_name(&run.file) {
        return Err(UnfitError::Name(run.file.clone()).into());
    }
    has_room(folder.path(), run.size_bytes)?;
    let path = folder.path().join(&run.file);
    let write = |source| UnfitError::Write {
        path: path.clone(),
        source,
    };
    let mut file = make(&path).map_err(write)?;
    let mut arriving = gateway.snapin_file(run.snapin_task, run.size_bytes)?;
    let mut context = Context::new(&SHA512);
    let (mut piece, mut size) = (vec![0_u8; PIECE], 0_u64);
    loop {
        let length = arriving.read(&mut piece)?;
        if length == 0 {
            break;
        }
        if stop.is_cancelled() {
            return Err(FetchError::Stopped.into());
        }
        size += length as u64;
        if size > run.size_bytes {
            return Err(UnfitError::Changed.into());
        }
        context.update(&piece[..length]);
        file.write_all(&piece[..length]).map_err(write)?;
    }
    if size != run.size_bytes || HEXLOWER.encode(context.finish().as_ref()) != hash {
        return Err(UnfitError::Changed.into());
    }
    Ok(path)
}

fn make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o700).open(path)
}
