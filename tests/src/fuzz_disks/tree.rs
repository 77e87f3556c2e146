//! What is below a folder, as text that can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Path to description: kind, size, hash and, where they mean something, mode and time.
pub type Tree = BTreeMap<String, String>;

/// Describes everything below `root`. `exact`: with modes and times of modification.
///
/// FUSE still deletes files for a moment, which changes the times of their folders: so it is looked at
/// until nothing changes any more.
///
/// # Errors
/// When something cannot be read, or is still being deleted after ten seconds.
pub fn describe(root: &Path, exact: bool) -> Result<Tree> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut before = None;
    loop {
        let (tree, is_quiet) = look(root, exact)?;
        if is_quiet && before.as_ref() == Some(&tree) {
            return Ok(tree);
        }
        ensure!(
            Instant::now() < deadline,
            "files in {} are still being deleted",
            root.display()
        );
        before = Some(tree);
    }
}

/// What is there, and whether nothing is about to be deleted.
fn look(root: &Path, exact: bool) -> Result<(Tree, bool)> {
    let (mut tree, mut is_quiet) = (Tree::new(), true);
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if is_going(&path) {
                is_quiet = false;
                continue;
            }
            let data = fs::symlink_metadata(&path)?;
            let mut text = if data.is_dir() {
                open.push(path.clone());
                "folder".to_owned()
            } else if data.is_symlink() {
                format!("link to {}", fs::read_link(&path)?.display())
            } else {
                format!("{} bytes, {}", data.len(), hash(&path)?)
            };
            if exact {
                text += &format!(
                    " mode {:o} at {}.{:09}",
                    data.mode(),
                    data.mtime(),
                    data.mtime_nsec()
                );
            }
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            tree.insert(name, text);
        }
    }
    Ok((tree, is_quiet))
}

/// FUSE keeps a file that was deleted while its end was not told yet under such a name for a moment.
fn is_going(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(".fuse_hidden")
}

fn hash(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(blake3::hash(&bytes).to_hex()[..16].to_owned()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok("unreadable".to_owned()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// The first differences, in words; nothing when the trees are equal.
#[must_use]
pub fn difference(expected: &Tree, found: &Tree) -> Option<String> {
    let mut all: Vec<String> = expected
        .iter()
        .filter(|(name, text)| found.get(*name) != Some(text))
        .map(|(name, text)| match found.get(name) {
            Some(other) => format!("{name} is {other}, not {text}"),
            None => format!("{name} is missing"),
        })
        .collect();
    let more = found.keys().filter(|name| !expected.contains_key(*name));
    all.extend(more.map(|name| format!("{name} should not be there")));
    let count = all.len();
    all.truncate(3);
    (count > 0).then(|| {
        format!(
            "{count} of {} files differ: {}",
            expected.len(),
            all.join("; ")
        )
    })
}
