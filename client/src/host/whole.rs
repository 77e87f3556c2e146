//! Files that are replaced whole: after a crash the old one or the new one is there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    /// Written first, and then renamed; on the same file system.
    pub(super) draft: &'a Path,
    pub(super) to: &'a Path,
    /// Whatever the umask is.
    pub(super) mode: u32,
    pub(super) modified: Option<SystemTime>,
}

impl Whole<'_> {
    /// Writes the draft, all of it to the disk.
    ///
    /// # Errors
    /// The file system's. The draft is removed then.
    pub(super) fn draft(&self, bytes: &[u8]) -> io::Result<()> {
        // One that was left by a crash may have been made under other circumstances.
        remove(self.draft)?;
        self.written(bytes).inspect_err(|_| self.give_up())
    }

    fn written(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.draft)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        if let Some(modified) = self.modified {
            file.set_modified(modified)?;
        }
        file.sync_all()
    }

    /// Gives the draft its name.
    ///
    /// # Errors
    /// The file system's. The draft is removed then.
    pub(super) fn name(&self) -> io::Result<()> {
        let named = fs::rename(self.draft, self.to).inspect_err(|_| self.give_up());
        named.and_then(|()| sync_folder(self.to))
    }

    /// It may hold a secret that nobody needs.
    pub(super) fn give_up(&self) {
        if let Err(error) = remove(self.draft) {
            let path = self.draft.display();
            tracing::warn!(%path, %error, "could not remove a draft");
        }
    }
}

/// Where the draft of a file is written, if that is in the same folder.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Removes a file; it does not matter if it is not there.
///
/// # Errors
/// The file system's.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in the folder of a file last.
///
/// # Errors
/// The file system's.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().expect("a file lies in a folder");
    File::open(folder)?.sync_all()
}
