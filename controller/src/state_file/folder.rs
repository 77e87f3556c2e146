//! A folder of state files that are written again and again, such as every night: each is named after
//! its time, read again before it counts, and only the newest ones are kept.
//!
//! Other people's files are safe there: what is removed has such a name, is a plain file, and says in its
//! header that it is of the same installation.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use foghorn_types::Timestamp;

use super::reader::{check, read_header};
use super::{FileError, Header};

/// What is being written. Whatever has this name is of an attempt that was broken off.
const UNFINISHED: &str = ".foghorn-state.unfinished";
const PREFIX: &str = "foghorn-state-";
const SUFFIX: &str = ".foghorn";

/// Why an export was not kept, or too many were.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("could not read the folder {path}", path = path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("could not put the new file into its place, {path}", path = path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error("the new file in {path} is not whole; it and nothing else was removed", path = path.display())]
    NotWhole { path: PathBuf, source: FileError },
    #[error("{new} is complete, but the older file {path} could not be removed", new = new.display(), path = path.display())]
    Remove {
        new: PathBuf,
        path: PathBuf,
        source: io::Error,
    },
}

/// Such as `foghorn-state-2026-11-29T030000Z.foghorn`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct ExportName(Timestamp);

impl fmt::Display for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}{SUFFIX}", self.0.to_name())
    }
}

/// The name is another one.
#[derive(Debug)]
struct NotAnExport;

impl FromStr for ExportName {
    type Err = NotAnExport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix(SUFFIX))
            .and_then(Timestamp::from_name)
            .map(Self)
            .ok_or(NotAnExport)
    }
}

/// Where the next file is written before it is complete.
///
/// # Errors
/// When what a broken-off attempt has left cannot be removed.
pub(crate) fn unfinished(folder: &Path) -> Result<PathBuf, FolderError> {
    let path = folder.join(UNFINISHED);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Place { path, source })
        }
        _ => Ok(path),
    }
}

/// Reads the file that is complete now, and gives it its name. Blocking.
///
/// # Errors
/// When it is not what was written; it is removed then.
pub(crate) fn take(
    folder: &Path,
    header: &Header,
    passphrase: &str,
) -> Result<PathBuf, FolderError> {
    let written = folder.join(UNFINISHED);
    let path = folder.join(ExportName(header.made).to_string());
    let taken = whole(&written, header, passphrase)
        .map_err(|source| FolderError::NotWhole {
            path: folder.to_owned(),
            source,
        })
        .and_then(|()| {
            place(folder, &written, &path).map_err(|source| FolderError::Place {
                path: path.clone(),
                source,
            })
        });
    if taken.is_err() {
        let _ = fs::remove_file(&written);
    }
    taken.map(|()| path)
}

fn whole(written: &Path, header: &Header, passphrase: &str) -> Result<(), FileError> {
    let checked = check(File::open(written)?, passphrase)?;
    match checked.header.revision == header.revision {
        true => Ok(()),
        false => Err(FileError::Damaged("it is another export")),
    }
}

fn place(folder: &Path, written: &Path, path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(written, path)?;
    File::open(folder)?.sync_all()
}

/// Removes the oldest exports of the installation with this authority, so that `keep` are left. `new` is
/// one of them, whatever the clock says. Returns what was removed.
///
/// # Errors
/// When the folder cannot be read, or one cannot be removed.
pub(crate) fn forget_old(
    new: &Path,
    authority: &str,
    keep: usize,
) -> Result<Vec<PathBuf>, FolderError> {
    let folder = new.parent().unwrap_or(Path::new("."));
    let mut others = others(folder, new, authority).map_err(|source| FolderError::List {
        path: folder.to_owned(),
        source,
    })?;
    others.sort_by_key(|(name, _)| std::cmp::Reverse(*name));
    let old = others.into_iter().skip(keep.saturating_sub(1));
    let removed = old.map(|(_, path)| match fs::remove_file(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(FolderError::Remove {
            new: new.to_owned(),
            path,
            source,
        }),
    });
    removed.collect()
}

fn others(folder: &Path, new: &Path, authority: &str) -> io::Result<Vec<(ExportName, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(Ok(name)) = name.to_str().map(str::parse::<ExportName>) else {
            continue;
        };
        let path = entry.path();
        let is_own = entry.file_type()?.is_file() && path != new && is_of(&path, authority);
        if is_own {
            found.push((name, path));
        }
    }
    Ok(found)
}

/// What cannot be read, or is of a later version, is nobody's to remove.
fn is_of(path: &Path, authority: &str) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    read_header(&mut file).is_ok_and(|(header, _)| header.authority == authority)
}

#[cfg(test)]
mod tests {
    use super::super::key::Kdf;
    use super::super::writer::first_line;
    use super::*;

    /// The beginning of a file of the installation with this authority.
    fn write(path: &Path, authority: &str) {
        let header = Header {
            foghorn_state: super::super::FORMAT,
            software: "0.1.0".to_owned(),
            revision: 7,
            made: Timestamp::from_millis(0),
            authority: authority.to_owned(),
            has_authority: false,
            kdf: Kdf::new().unwrap(),
            cipher: "AES-256-GCM".to_owned(),
            compression: "zstd".to_owned(),
        };
        let mut line = first_line(&header).unwrap();
        line.extend_from_slice(b"\nand so on");
        fs::write(path, line).unwrap();
    }

    fn day(number: u32) -> String {
        format!("foghorn-state-2026-11-{number:02}T030000Z.foghorn")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_is_what_this_program_writes_and_nothing_else() {
        let name: ExportName = day(29).parse().unwrap();
        assert_eq!(name.to_string(), day(29));
        let older: ExportName = day(28).parse().unwrap();
        assert!(name > older);
        for text in [
            "foghorn-backup-29380000-abcde.foghorn",
            "foghorn-state-2026-11-29T030000Z.foghorn.old",
            "foghorn-state-2026-11-29T03:00:00Z.foghorn",
            "foghorn-state-2026-13-29T030000Z.foghorn",
            "foghorn-state-.foghorn",
            "lab.foghorn",
        ] {
            assert!(text.parse::<ExportName>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_oldest_of_ones_own_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for number in 11..=14 {
            write(&folder.join(day(number)), "ours");
        }
        let new = folder.join(day(14));
        // All of these are older.
        write(&folder.join(day(1)), "of others");
        write(
            &folder.join("foghorn-backup-29380000-abcde.foghorn"),
            "ours",
        );
        write(&folder.join("lab.foghorn"), "ours");
        fs::write(folder.join(day(2)), "no state file").unwrap();
        fs::create_dir(folder.join(day(3))).unwrap();
        std::os::unix::fs::symlink("lab.foghorn", folder.join(day(4))).unwrap();
        let before = names(folder);

        assert!(forget_old(&new, "ours", 4).unwrap().is_empty());
        assert_eq!(names(folder), before);
        let removed = forget_old(&new, "ours", 2).unwrap();
        assert_eq!(removed, [folder.join(day(12)), folder.join(day(11))]);
        let left: Vec<String> = before
            .into_iter()
            .filter(|name| *name != day(11) && *name != day(12))
            .collect();
        assert_eq!(names(folder), left);
    }

    #[test]
    fn the_new_one_stays_when_the_clock_was_ahead() {
        let folder = tempfile::tempdir().unwrap();
        for number in [10, 20, 21] {
            write(&folder.path().join(day(number)), "ours");
        }
        forget_old(&folder.path().join(day(10)), "ours", 2).unwrap();
        assert_eq!(names(folder.path()), [day(10), day(21)]);
        forget_old(&folder.path().join(day(10)), "ours", 1).unwrap();
        assert_eq!(names(folder.path()), [day(10)]);
    }

    #[test]
    fn what_is_not_whole_is_never_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let path = unfinished(folder).unwrap();
        write(&path, "ours");
        let (header, _) = read_header(&mut File::open(&path).unwrap()).unwrap();
        let error = take(folder, &header, "correct horse battery").unwrap_err();
        assert!(matches!(error, FolderError::NotWhole { .. }), "{error}");
        assert!(names(folder).is_empty());
        fs::write(&path, "left by a crash").unwrap();
        unfinished(folder).unwrap();
        assert!(names(folder).is_empty());
    }
}
