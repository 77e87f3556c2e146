//! Whether a mounted file system is the root of an installed system, and where its files are.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::IdentityError;

/// Where systemd is; one of them is a link to the other on most systems.
const SYSTEMD: [&str; 2] = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];

/// Whether an operating system with systemd is here. Links are not followed: where an absolute one leads is
/// not on this file system.
pub(super) fn is_root(folder: &Path) -> bool {
    let is_there = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
    is_there("etc/os-release") && SYSTEMD.into_iter().any(is_there)
}

/// Refuses a system that would not find in `folder`, an absolute path of its own, what is written there
/// now.
///
/// # Errors
/// [`IdentityError::Elsewhere`], [`IdentityError::Link`], and when the file system cannot be read.
pub(super) fn check_folder(root: &Path, folder: &Path) -> Result<(), IdentityError> {
    let table = root.join("etc/fstab");
    // Not what a link elsewhere shows.
    if fs::symlink_metadata(&table).is_ok_and(|file| file.is_file()) {
        let text = fs::read(&table).map_err(|source| IdentityError::Look {
            path: table,
            source,
        })?;
        let at = mounted_over(&String::from_utf8_lossy(&text), folder);
        if let Some(at) = at {
            let folder = folder.to_owned();
            return Err(IdentityError::Elsewhere { folder, at });
        }
    }
    stays_inside(root, folder)
}

/// Where `/etc/fstab` mounts another file system over the folder.
fn mounted_over(fstab: &str, folder: &Path) -> Option<PathBuf> {
    let lines = fstab.lines().map(str::trim);
    let entries = lines.filter(|line| !line.starts_with('#'));
    let places = entries.filter_map(|line| line.split_whitespace().nth(1));
    let mut over = places.filter(|place| *place != "/" && folder.starts_with(place));
    over.next().map(PathBuf::from)
}

/// No link on the way to the folder may lead out of the file system: here is another `/`.
fn stays_inside(root: &Path, folder: &Path) -> Result<(), IdentityError> {
    let mut at = root.to_owned();
    for part in folder.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        let next = at.join(name);
        match fs::canonicalize(&next) {
            Ok(real) if real.starts_with(root) => at = real,
            Ok(_) => return Err(IdentityError::Link { path: next }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs::symlink_metadata(&next) {
                    // It leads nowhere.
                    Ok(_) => Err(IdentityError::Link { path: next }),
                    Err(_) => Ok(()),
                };
            }
            Err(source) => return Err(IdentityError::Look { path: next, source }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        (folder, root)
    }

    #[test]
    fn a_root_has_a_name_and_systemd() {
        let (_folder, root) = folder();
        assert!(!is_root(&root));
        // It leads out of here, as absolute links do.
        symlink("/usr/lib/os-release", root.join("etc/os-release")).unwrap();
        assert!(!is_root(&root));
        fs::create_dir_all(root.join("usr/lib/systemd")).unwrap();
        fs::write(root.join("usr/lib/systemd/systemd"), "").unwrap();
        assert!(is_root(&root));
        fs::remove_file(root.join("etc/os-release")).unwrap();
        assert!(!is_root(&root));
    }

    #[test]
    fn a_folder_that_the_system_mounts_over_is_refused() {
        let over = |fstab| mounted_over(fstab, Path::new("/var/sota"));
        let none = "# /dev/sda9 /var ext4\nUUID=a / ext4 defaults 0 1\n\n/dev/sda2 /variable ext4\nnone swap\n";
        assert_eq!(over(none), None);
        assert_eq!(over("UUID=b\t/var\text4"), Some(PathBuf::from("/var")));
        assert_eq!(over("b /var/sota xfs"), Some(PathBuf::from("/var/sota")));

        let (_folder, root) = folder();
        fs::write(root.join("etc/fstab"), "UUID=b /var ext4\n").unwrap();
        let error = check_folder(&root, Path::new("/var/sota")).unwrap_err();
        assert!(
            matches!(error, IdentityError::Elsewhere { .. }),
            "{error:?}"
        );
        fs::write(root.join("etc/fstab"), none).unwrap();
        check_folder(&root, Path::new("/var/sota")).unwrap();
    }

    #[test]
    fn links_may_lead_about_in_the_file_system_and_not_out_of_it() {
        let (folder, root) = folder();
        let check = || check_folder(&root, Path::new("/var/sota"));
        check().unwrap();
        fs::create_dir_all(root.join("data/var")).unwrap();
        symlink("data/var", root.join("var")).unwrap();
        check().unwrap();
        let refused = |to: &Path| {
            let link = root.join("data/var/sota");
            symlink(to, &link).unwrap();
            assert!(
                matches!(check(), Err(IdentityError::Link { path }) if path == link),
                "{to:?}"
            );
            fs::remove_file(link).unwrap();
        };
        refused(folder.path());
        refused(Path::new("../../../elsewhere"));
        refused(Path::new("nowhere"));
        check().unwrap();
    }
}
