//! The name of this machine: that of its host.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use foghorn_host_config::work::host_name::is_host_name;

use super::super::whole::{Whole, beside};

/// Name in the kernel; writing it is `sethostname`.
const KERNEL: &str = "proc/sys/kernel/hostname";
/// Name at the next start.
const FILE: &str = "etc/hostname";

/// Why the machine keeps its name.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    #[error("{0:?} is no host name")]
    NoName(String),
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file, and left as it is", path.display())]
    NotRegular { path: PathBuf },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Takes this name, if the kernel has another one. Whether it had.
///
/// # Errors
/// [`NameError`]
pub(super) fn take(root: &Path, name: &str) -> Result<bool, NameError> {
    if !is_host_name(name) {
        return Err(NameError::NoName(name.to_owned()));
    }
    let kernel = root.join(KERNEL);
    let before = fs::read_to_string(&kernel).map_err(|source| NameError::Read {
        path: kernel.clone(),
        source,
    })?;
    let before = before.trim();
    if before == name {
        return Ok(false);
    }
    // The file first: when this is cut off, the kernel has the old name, and all of it is done again.
    store(&root.join(FILE), name)?;
    let mut options = OpenOptions::new();
    let opened = options.write(true).truncate(true).open(&kernel);
    let written = opened.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()));
    written.map_err(|source| NameError::Write {
        path: kernel,
        source,
    })?;
    tracing::info!(before, name, "this machine took the name of its host");
    Ok(true)
}

fn store(path: &Path, name: &str) -> Result<(), NameError> {
    let path = || path.to_owned();
    match fs::symlink_metadata(path()) {
        Ok(found) if !found.is_file() => return Err(NameError::NotRegular { path: path() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            let path = path();
            return Err(NameError::Read { path, source });
        }
    }
    let (to, draft) = (path(), beside(&path()));
    let whole = Whole {
        draft: &draft,
        to: &to,
        mode: 0o644,
        modified: None,
    };
    let text = format!("{name}\n");
    let written = whole.draft(text.as_bytes()).and_then(|()| whole.name());
    written.map_err(|source| NameError::Write {
        path: path(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["proc/sys/kernel", "etc"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join(KERNEL), format!("{name}\n")).unwrap();
        root
    }

    #[test]
    fn a_name_is_taken_for_now_and_for_the_next_start() {
        let root = root("localhost-with-a-long-name");
        let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        assert!(take(root.path(), "lab-pc01").unwrap());
        assert_eq!(
            (read(KERNEL).as_str(), read(FILE).as_str()),
            ("lab-pc01\n", "lab-pc01\n")
        );
        // What somebody has written there meanwhile stays, as the machine has its name.
        fs::write(root.path().join(FILE), "other\n").unwrap();
        assert!(!take(root.path(), "lab-pc01").unwrap());
        assert_eq!(read(FILE), "other\n");
    }

    #[test]
    fn what_is_no_name_or_no_file_is_left_alone() {
        let root = root("old");
        for name in ["", "a b", "-a", "a\nb"] {
            let error = take(root.path(), name).unwrap_err();
            assert!(matches!(error, NameError::NoName(_)), "{error:?}");
        }
        let file = root.path().join(FILE);
        std::os::unix::fs::symlink("elsewhere", &file).unwrap();
        let error = take(root.path(), "new").unwrap_err();
        assert!(matches!(error, NameError::NotRegular { .. }), "{error:?}");
        assert_eq!(
            fs::read_to_string(root.path().join(KERNEL)).unwrap(),
            "old\n"
        );
        assert!(!root.path().join("etc/elsewhere").exists());
    }
}
