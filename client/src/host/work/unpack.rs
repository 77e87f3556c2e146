//! Snapins that are archives: zip, tar and tar.gz.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use foghorn_host_config::work::output::details;
use zip::ZipArchive;
use zip::result::ZipError;

use super::super::child::{self, Bounds, ChildError, EndedBy, Keep};
use super::snapin_file::RESERVE;

const OUTPUT: usize = 4096;
/// Where a tar archive says that it is one.
const MAGIC_OF_TAR: std::ops::Range<usize> = 257..262;

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("could not read or write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("it is neither zip, nor tar, nor tar.gz")]
    Unknown,
    #[error("the zip archive cannot be read")]
    Zip(#[from] ZipError),
    #[error("the zip archive has {0:?}, which would not lie in its folder")]
    Outside(String),
    #[error("the zip archive has the link {0:?}, and links are not unpacked")]
    Link(String),
    #[error("{name:?} of the zip archive needs {needed} bytes, and {free} bytes are free")]
    NoRoom {
        name: String,
        needed: u64,
        free: u64,
    },
    #[error("the program tar did not run")]
    Tar(#[source] ChildError),
    #[error("the program tar failed with exit code {code}: {said}")]
    TarFailed { code: i32, said: String },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Zip,
    Tar,
    TarGz,
}

/// Unpacks an archive to a new folder.
///
/// # Errors
/// [`UnpackError`]; parts of it may be there.
pub(super) fn unpack(archive: &Path, to: &Path, bounds: Bounds<'_>) -> Result<(), UnpackError> {
    fs::create_dir(to).map_err(|source| io_error(to, source))?;
    match kind(archive)? {
        Kind::Zip => unzip(archive, to),
        Kind::Tar => untar(archive, to, "-xof", bounds),
        Kind::TarGz => untar(archive, to, "-xozf", bounds),
    }
}

fn io_error(path: &Path, source: io::Error) -> UnpackError {
    UnpackError::Io {
        path: path.to_owned(),
        source,
    }
}

fn kind(archive: &Path) -> Result<Kind, UnpackError> {
    let mut begin = Vec::new();
    let opened = File::open(archive);
    let read = opened.and_then(|file| file.take(512).read_to_end(&mut begin));
    read.map_err(|source| io_error(archive, source))?;
    match begin.as_slice() {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Ok(Kind::Zip),
        [0x1f, 0x8b, ..] => Ok(Kind::TarGz),
        other if is_tar(other) => Ok(Kind::Tar),
        _ => Err(UnpackError::Unknown),
    }
}

fn is_tar(begin: &[u8]) -> bool {
    let magic = begin.get(MAGIC_OF_TAR);
    magic.is_some_and(|magic| magic == b"ustar")
}

/// By the program of the machine: there is none without it, and it knows all that was ever put into such archives.
fn untar(archive: &Path, to: &Path, flags: &str, bounds: Bounds<'_>) -> Result<(), UnpackError> {
    let mut tar = Command::new("tar");
    tar.arg(flags).arg(archive).arg("-C").arg(to);
    let ran = child::run(tar, Keep::Last(OUTPUT), bounds).map_err(UnpackError::Tar)?;
    if ran.by == EndedBy::Stop {
        return Err(UnpackError::Tar(ChildError::Stopped));
    }
    if ran.status.success() {
        return Ok(());
    }
    Err(UnpackError::TarFailed {
        code: ran.exit_code(),
        said: details("", &ran.output),
    })
}

fn unzip(archive: &Path, to: &Path) -> Result<(), UnpackError> {
    let file = File::open(archive).map_err(|source| io_error(archive, source))?;
    let mut archive = ZipArchive::new(file)?;
    let mut free = free(to)?;
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number)?;
        let named = entry.enclosed_name();
        let Some(name) = named else {
            return Err(UnpackError::Outside(format!("entry {number}")));
        };
        let path = to.join(&name);
        if entry.is_symlink() {
            return Err(UnpackError::Link(name.display().to_string()));
        }
        let needed = entry.size();
        free = free
            .checked_sub(needed)
            .ok_or_else(|| UnpackError::NoRoom {
                name: name.display().to_string(),
                needed,
                free,
            })?;
        let written = if entry.is_dir() {
            fs::create_dir_all(&path)
        } else {
            // All that is wanted of its mode is whether it runs: nobody but root gets here.
            let mode = 0o600 | (entry.unix_mode().unwrap_or(0o600) & 0o111);
            write(&path, mode, &mut entry, needed)
        };
        written.map_err(|source| io_error(&path, source))?;
    }
    Ok(())
}

fn write(path: &Path, mode: u32, content: &mut impl io::Read, size: u64) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    // Not only as much as it should be: the checksum is compared at the end.
    let copied = io::copy(&mut content.take(size.saturating_add(1)), &mut file)?;
    if copied == size {
        return Ok(());
    }
    let why = format!("it has not the {size} bytes that the archive says");
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// What may be written: the machine needs some of it for other things.
fn free(folder: &Path) -> Result<u64, UnpackError> {
    let found = rustix::fs::statvfs(folder);
    let found = found.map_err(|error| io_error(folder, error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    Ok(free.saturating_sub(RESERVE))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    fn unpacked(archive: &Path, to: &Path) -> Result<(), UnpackError> {
        let stop = CancellationToken::new();
        let limit = Duration::from_secs(60);
        unpack(archive, to, Bounds { limit, stop: &stop })
    }

    fn zip(path: &Path, entries: &[(&str, u32, &str)]) {
        let mut writer = ZipWriter::new(File::create(path).unwrap());
        for (name, mode, content) in entries {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn a_zip_archive_is_unpacked_with_what_runs() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, to) = (folder.path().join("a.zip"), folder.path().join("out"));
        let long = "x".repeat(100_000);
        zip(
            &archive,
            &[("run.sh", 0o755, "go"), ("data/a", 0o644, long.as_str())],
        );
        unpacked(&archive, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("data/a")).unwrap(), long);
        let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode();
        assert_eq!((mode("run.sh") & 0o111, mode("data/a") & 0o111), (0o111, 0));
    }

    #[test]
    fn nothing_is_written_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.zip");
        zip(&archive, &[("a/../../evil", 0o644, "x")]);
        let to = folder.path().join("out");
        let error = unpacked(&archive, &to).unwrap_err();
        assert!(matches!(error, UnpackError::Outside(_)), "{error:?}");
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn a_damaged_zip_archive_is_not_taken_for_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.zip");
        let mut writer = ZipWriter::new(File::create(&archive).unwrap());
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file("run.sh", options).unwrap();
        writer.write_all(b"rm -r /tmp/mine").unwrap();
        writer.finish().unwrap();
        let mut bytes = fs::read(&archive).unwrap();
        let at = bytes.windows(4).position(|four| four == b"mine").unwrap();
        bytes[at] = b'l';
        fs::write(&archive, bytes).unwrap();
        let error = unpacked(&archive, &folder.path().join("out")).unwrap_err();
        assert!(matches!(error, UnpackError::Io { .. }), "{error:?}");
    }

    #[test]
    fn tar_archives_are_unpacked_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("run.sh"), "go").unwrap();
        for (name, flags) in [("a.tar", "-cf"), ("a.tar.gz", "-czf")] {
            let mut tar = Command::new("tar");
            tar.arg(flags).arg(path(name)).arg("-C").arg(folder.path());
            assert!(tar.arg("run.sh").status().unwrap().success());
            let to = path(&format!("{name}.out"));
            unpacked(&path(name), &to).unwrap();
            assert_eq!(fs::read_to_string(to.join("run.sh")).unwrap(), "go");
        }
        let error = unpacked(&path("run.sh"), &path("none")).unwrap_err();
        assert!(matches!(error, UnpackError::Unknown), "{error:?}");
        // The beginning of an archive.
        let whole = fs::read(path("a.tar.gz")).unwrap();
        fs::write(path("cut"), &whole[..whole.len() / 2]).unwrap();
        let error = unpacked(&path("cut"), &path("half")).unwrap_err();
        assert!(matches!(error, UnpackError::TarFailed { .. }), "{error:?}");
    }
}
