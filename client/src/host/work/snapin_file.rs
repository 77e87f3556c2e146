//! The file of a snapin: fetched to a folder of its own, and verified before anything of it runs.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
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
pub(super) const RESERVE: u64 = 16 << 20;
const PIECE: usize = 1 << 16;
/// Hexadecimal digits of a SHA-512.
const DIGITS: usize = 128;
/// What is mounted, as this process sees it.
const MOUNTS: &str = "/proc/self/mountinfo";

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

/// Removes a folder with what is in it, if it is there. Not when something is mounted in it: a snapin that was ended may have
/// left `/` or `/dev` there, which would be emptied.
///
/// # Errors
/// The file system's; [`io::ErrorKind::ResourceBusy`] for what is mounted.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let real = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        other => other?,
    };
    if let Some(point) = mounted_in(&fs::read(MOUNTS)?, &real) {
        let why = format!("something is mounted at {}", point.display());
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A mount point at a folder or below it: the fifth field of a line.
fn mounted_in(mountinfo: &[u8], folder: &Path) -> Option<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let mut points = points.map(|point| PathBuf::from(OsString::from_vec(unescaped(point))));
    points.find(|point| point.starts_with(folder))
}

/// Blanks and the like are a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<3>().filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_in_a_folder_is_found() {
        let info = b"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 25 8:1 / /var/sota/snapins/5/a\\040root rw - ext4 /dev/sda1 rw\n";
        let found = |folder: &str| mounted_in(info, Path::new(folder));
        let point = Path::new("/var/sota/snapins/5/a root");
        for folder in ["/var/sota/snapins", "/var/sota/snapins/5/a root"] {
            assert_eq!(found(folder).as_deref(), Some(point), "{folder}");
        }
        for folder in ["/var/sota/snapins/50", "/var/sota/snap", "/home"] {
            assert_eq!(found(folder), None, "{folder}");
        }
    }

    #[test]
    fn a_folder_goes_with_what_is_in_it_and_one_that_is_gone_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        remove(&folder.path().join("a")).unwrap();
        assert!(!inside.exists());
        remove(&inside).unwrap();
    }
}
