//! The files of an image, in the order in which they are written.

use std::collections::BTreeMap;
use std::collections::btree_map::Iter;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

pub(crate) enum Kind {
    Folder,
    File(Vec<u8>),
    /// Where a symbolic link leads.
    Link(String),
}

pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    /// User and group, which have one number.
    pub(crate) owner: u32,
}

/// Entries by path, which has no slash at its beginning. A folder sorts before what is in it.
#[derive(Default)]
pub(crate) struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    pub(crate) fn folder(&mut self, path: &str, mode: u32, owner: u32) {
        self.put(path, mode, owner, Kind::Folder);
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.put(path, mode, 0, Kind::File(bytes));
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.put(path, 0o777, 0, Kind::Link(target.to_owned()));
    }

    fn put(&mut self, path: &str, mode: u32, owner: u32, kind: Kind) {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            if !self.entries.contains_key(parent) {
                self.put(parent, 0o755, 0, Kind::Folder);
            }
        }
        let entry = Entry { kind, mode, owner };
        self.entries.insert(path.to_owned(), entry);
    }

    pub(crate) fn iter(&self) -> Iter<'_, String, Entry> {
        self.entries.iter()
    }

    /// A copy of the folder, in which everything belongs to root.
    ///
    /// # Errors
    /// When it cannot be read, or has something else than folders, files and links.
    pub(crate) fn of_folder(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.copy(root, "")
            .with_context(|| format!("could not read {}", root.display()))?;
        Ok(tree)
    }

    fn copy(&mut self, from: &Path, to: &str) -> Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().context("a name is not UTF-8")?;
            let path = format!("{to}{name}");
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                let target = fs::read_link(entry.path())?;
                self.link(&path, target.to_str().context("a link is not UTF-8")?);
                continue;
            }
            let mode = entry.metadata()?.permissions().mode() & 0o7777;
            if kind.is_dir() {
                self.folder(&path, mode, 0);
                self.copy(&entry.path(), &format!("{path}/"))?;
            } else {
                anyhow::ensure!(kind.is_file(), "{path} is neither file, folder nor link");
                self.file(&path, mode, fs::read(entry.path())?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them_and_keep_the_mode_that_they_were_given() {
        let mut tree = Tree::default();
        tree.folder("/tmp", 0o1777, 0);
        tree.file("/usr/bin/x", 0o755, vec![1]);
        tree.file("/tmp/y", 0o644, vec![2]);
        let paths: Vec<(&str, u32)> = tree
            .iter()
            .map(|(path, entry)| (path.as_str(), entry.mode))
            .collect();
        assert_eq!(
            paths,
            [
                ("tmp", 0o1777),
                ("tmp/y", 0o644),
                ("usr", 0o755),
                ("usr/bin", 0o755),
                ("usr/bin/x", 0o755),
            ]
        );
    }

    #[test]
    fn a_folder_of_the_machine_is_copied_with_its_links() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        fs::write(root.path().join("bin/one"), "1").unwrap();
        std::os::unix::fs::symlink("one", root.path().join("bin/two")).unwrap();
        let tree = Tree::of_folder(root.path()).unwrap();
        let names: Vec<&String> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(names, ["bin", "bin/one", "bin/two"]);
        let (_, last) = tree.iter().next_back().unwrap();
        assert!(matches!(&last.kind, Kind::Link(to) if to == "one"));
    }
}
