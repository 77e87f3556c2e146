//! The folder that config files are extracted to.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use foghorn_host_config::plan::Found;
use foghorn_host_config::{DRAFT_NAME, FileName, OpenedFile};

use super::whole::{self, Whole, sync_folder};

/// Of a folder that we make.
const FOLDER_MODE: u32 = 0o750;
/// Of every config file.
const FILE_MODE: u32 = 0o640;

/// Why a config file could not be looked at, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("could not make the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("could not read the config file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write the config file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not remove the config file {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// See above.
#[derive(Clone, Debug)]
pub(super) struct Secrets(PathBuf);

impl Secrets {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(super) fn path(&self, name: &FileName) -> PathBuf {
        self.0.join(name.as_str())
    }

    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn make(&self) -> Result<(), FolderError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(FOLDER_MODE).create(&self.0);
        made.map_err(|source| FolderError::Folder {
            path: self.0.clone(),
            source,
        })
    }

    /// What is there under the names of a config.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn look(
        &self,
        new: &BTreeMap<FileName, OpenedFile>,
    ) -> Result<BTreeMap<FileName, Found>, FolderError> {
        let mut all = BTreeMap::new();
        for (name, file) in new {
            let path = self.path(name);
            let found = found(&path, &file.content);
            let found = found.map_err(|source| FolderError::Read { path, source })?;
            all.insert(name.clone(), found);
        }
        Ok(all)
    }

    /// Writes a file with the folders it needs.
    ///
    /// # Errors
    /// The file system's; the old file is as it was then.
    pub(super) fn write(&self, name: &FileName, content: &[u8]) -> Result<(), FolderError> {
        let (path, draft) = (self.path(name), self.0.join(DRAFT_NAME));
        self.make_folders(name)?;
        let whole = Whole {
            draft: &draft,
            to: &path,
            mode: FILE_MODE,
            modified: None,
        };
        foghorn_faults::point!("host.file.before-write");
        let written = whole.draft(content).and_then(|()| {
            foghorn_faults::fail!("host.file.before-rename").inspect_err(|_| whole.give_up())?;
            whole.name()
        });
        written.map_err(|source| FolderError::Write { path, source })?;
        foghorn_faults::point!("host.file.written");
        Ok(())
    }

    /// From the outermost, each with the mode of the folder of all.
    fn make_folders(&self, name: &FileName) -> Result<(), FolderError> {
        let mut folders: Vec<PathBuf> = name.folders().map(|folder| self.0.join(folder)).collect();
        folders.reverse();
        for path in folders {
            match self.make_folder(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(source) => return Err(FolderError::Folder { path, source }),
            }
        }
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mode = fs::metadata(&self.0)?.permissions().mode() & 0o7777;
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// Removes a file; it does not matter if it is not there.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn remove(&self, name: &FileName) -> Result<(), FolderError> {
        let path = self.path(name);
        foghorn_faults::point!("host.file.before-removal");
        let removed = match whole::remove(&path) {
            // A run before this one removed it, and put a file in place of its folder, or a folder in place of it.
            Err(error) if is_other_kind(&error) => return Ok(()),
            Ok(()) if path.parent().is_some_and(Path::is_dir) => sync_folder(&path),
            removed => removed,
        };
        removed.map_err(|source| FolderError::Remove { path, source })?;
        foghorn_faults::point!("host.file.removed");
        Ok(())
    }

    /// Removes the folders that a file was in, as long as they are empty.
    pub(super) fn remove_empty_folders(&self, of: &FileName) {
        for folder in of.folders() {
            // What is not empty is not removed, and then those above it are not either.
            if fs::remove_dir(self.0.join(folder)).is_err() {
                return;
            }
        }
    }
}

fn found(path: &Path, content: &[u8]) -> io::Result<Found> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_missing(&error) => return Ok(Found::Missing),
        Err(error) => return Err(error),
    };
    // Its size tells most differences without reading it.
    let may_be_same = metadata.is_file() && metadata.len() == content.len() as u64;
    let is_same = may_be_same && fs::read(path)? == content;
    Ok(if is_same {
        Found::Same
    } else {
        Found::Different
    })
}

fn is_other_kind(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// Also when a file is where a folder is needed: the plan makes room.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    #[test]
    fn files_are_written_with_their_mode_and_folders_with_that_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("secrets");
        let secrets = Secrets::new(&root);
        secrets.make().unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).unwrap();
        secrets.write(&name("a/b/c"), b"text").unwrap();
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("a"), mode("a/b"), mode("a/b/c")),
            (0o711, 0o711, 0o640)
        );
        secrets.write(&name("a/b/c"), b"more").unwrap();
        assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"more");
        assert!(!root.join(DRAFT_NAME).exists());
    }

    #[test]
    fn empty_folders_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        for file in ["a/b/c", "a/d"] {
            secrets.write(&name(file), b"").unwrap();
        }
        for _ in 0..2 {
            secrets.remove(&name("a/b/c")).unwrap();
            secrets.remove_empty_folders(&name("a/b/c"));
            assert!(!folder.path().join("a/b").exists() && folder.path().join("a/d").exists());
        }
        secrets.remove(&name("a/d")).unwrap();
        secrets.remove_empty_folders(&name("a/d"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_run_replaced_already_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        secrets.write(&name("a/b"), b"").unwrap();
        secrets.remove(&name("a")).unwrap();
        secrets.remove(&name("a/b/c")).unwrap();
        secrets.remove_empty_folders(&name("a/b/c"));
        assert!(folder.path().join("a/b").is_file());
    }

    #[test]
    fn what_is_there_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        secrets.write(&name("same"), b"x").unwrap();
        secrets.write(&name("other"), b"y").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("same", folder.path().join("link")).unwrap();
        let file = |text: &str| OpenedFile {
            content: b"x".to_vec(),
            on_changed: vec![text.to_owned()],
        };
        let names = ["same", "other", "folder", "link", "missing", "same/below"];
        let new = BTreeMap::from(names.map(|text| (name(text), file(text))));
        let found = secrets.look(&new).unwrap();
        assert_eq!(found["same"], Found::Same);
        for text in ["other", "folder", "link"] {
            assert_eq!(found[text], Found::Different, "{text}");
        }
        for text in ["missing", "same/below"] {
            assert_eq!(found[text], Found::Missing, "{text}");
        }
    }
}
