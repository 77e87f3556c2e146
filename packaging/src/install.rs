//! `make install` and `make uninstall`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::layout::{Content, Package, Piece, Places, pieces};
use crate::sources::Sources;

/// Not of a package: their scripts make the user.
const SYSUSERS: &str = include_str!("../files/sysusers.conf");

/// Copies everything; prints what is left to do. Configuration that is there already stays.
///
/// # Errors
/// When a program was not compiled, or a file cannot be written.
pub(crate) fn install(sources: &Sources, places: &Places, destdir: &Path) -> Result<()> {
    let mut kept = Vec::new();
    for piece in all(places, Some(sources))? {
        if piece.is_config && under(destdir, &piece.to).exists() {
            kept.push(piece.to);
        } else {
            put(&piece, destdir)?;
        }
    }
    for path in kept {
        println!("install: {} was there and is kept", path.display());
    }
    println!("{}", next_steps(places));
    Ok(())
}

/// What is left to do. systemd looks for units in two folders only.
fn next_steps(places: &Places) -> String {
    let prefix = places.prefix.display();
    let config = places.sysconfdir.join("foghorn");
    let config = config.display();
    let is_known = ["/usr", "/usr/local"]
        .iter()
        .any(|known| places.prefix == Path::new(known));
    let (users, units) = if is_known {
        (String::new(), "systemctl daemon-reload".to_owned())
    } else {
        (
            format!(" {prefix}/lib/sysusers.d/foghorn.conf"),
            format!("systemctl link {prefix}/lib/systemd/system/foghorn-*.service"),
        )
    };
    format!(
        "install: Foghorn is in {prefix}, its configuration in {config}. To run it as a service:\n  \
         systemd-sysusers{users} && chgrp foghorn {config}/* && {units}\n  \
         systemctl enable --now foghorn-serve"
    )
}

/// Removes what [`install`] copied. Changed configuration and data stay.
///
/// # Errors
/// When a file cannot be removed.
pub(crate) fn uninstall(places: &Places, destdir: &Path) -> Result<()> {
    let mut folders = Vec::new();
    for piece in all(places, None)? {
        let path = under(destdir, &piece.to);
        if piece.is_config && changed(&path, &piece.content) {
            println!("uninstall: {} was changed and is kept", path.display());
            continue;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context(format!("could not remove {}", path.display()));
            }
            _ => folders.extend(path.parent().map(Path::to_owned)),
        }
    }
    remove_own(folders);
    println!(
        "uninstall: state and images are where they were (/var/lib/foghorn, unless the configuration says otherwise)"
    );
    Ok(())
}

fn all(places: &Places, sources: Option<&Sources>) -> Result<Vec<Piece>> {
    let mut all = vec![Piece {
        to: places.prefix.join("lib/sysusers.d/foghorn.conf"),
        mode: 0o644,
        content: Content::Bytes(SYSUSERS.as_bytes().to_vec()),
        is_config: false,
    }];
    for package in Package::ALL {
        all.extend(pieces(package, places, sources)?);
    }
    Ok(all)
}

fn changed(path: &Path, content: &Content) -> bool {
    match (fs::read(path), content) {
        (Ok(found), Content::Bytes(ours)) => found != *ours,
        _ => false,
    }
}

/// Folders that are ours by name, when they are empty.
fn remove_own(mut folders: Vec<PathBuf>) {
    folders.sort();
    folders.dedup();
    for folder in folders.iter().rev() {
        for part in folder.ancestors() {
            let name = part.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with("foghorn") && name != "clients" || fs::remove_dir(part).is_err() {
                break;
            }
        }
    }
}

/// `to`, which is absolute, below `root`.
pub(crate) fn under(root: &Path, to: &Path) -> PathBuf {
    root.join(to.strip_prefix("/").unwrap_or(to))
}

/// Writes a file below `root`. A program that runs is replaced, not written over.
pub(crate) fn put(piece: &Piece, root: &Path) -> Result<()> {
    let path = under(root, &piece.to);
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let next = path.with_extension("new-foghorn");
        let _ = fs::remove_file(&next);
        match &piece.content {
            Content::Program(from) => drop(fs::copy(from, &next)?),
            Content::Bytes(bytes) => fs::write(&next, bytes)?,
            Content::Link(target) => symlink(target, &next)?,
        }
        if !matches!(piece.content, Content::Link(_)) {
            fs::set_permissions(&next, fs::Permissions::from_mode(piece.mode))?;
        }
        fs::rename(&next, &path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty programs.
    fn programs() -> (tempfile::TempDir, Sources) {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            sources: Sources,
        }
        let folder = tempfile::tempdir().unwrap();
        for package in Package::ALL {
            fs::write(folder.path().join(package.name()), "program").unwrap();
        }
        let arguments = ["x", "--programs", folder.path().to_str().unwrap()];
        let sources = <Arguments as clap::Parser>::parse_from(arguments).sources;
        (folder, sources)
    }

    fn files(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path().to_string_lossy().into_owned());
                }
            }
        }
        found
    }

    #[test]
    fn units_outside_the_folders_of_systemd_are_linked() {
        let steps = |prefix: &str| next_steps(&Places::of(prefix.into(), "/etc".into()));
        for known in ["/usr", "/usr/local"] {
            assert!(!steps(known).contains("systemctl link"), "{known}");
        }
        let other = steps("/opt/foghorn");
        assert!(
            other.contains("systemd-sysusers /opt/foghorn/lib/sysusers.d/foghorn.conf")
                && other.contains("systemctl link /opt/foghorn/lib/systemd/system/foghorn-"),
            "{other}"
        );
    }

    #[test]
    fn what_was_installed_is_removed_but_for_changed_configuration() {
        let (_folder, sources) = programs();
        let root = tempfile::tempdir().unwrap();
        let places = Places::of("/usr/local".into(), "/etc".into());
        install(&sources, &places, root.path()).unwrap();
        let client = root.path().join("usr/local/bin/foghorn-client");
        assert_eq!(fs::read(&client).unwrap(), b"program");
        let config = root.path().join("etc/foghorn/controller.toml");
        fs::write(&config, "data_dir = '/mine'").unwrap();
        install(&sources, &places, root.path()).unwrap();
        assert_eq!(fs::read(&config).unwrap(), b"data_dir = '/mine'");
        uninstall(&places, root.path()).unwrap();
        assert_eq!(files(root.path()), [config.to_string_lossy()]);
        assert!(!root.path().join("usr/local/lib/foghorn").exists());
    }
}
