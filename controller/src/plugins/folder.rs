//! The folder of plugins.
//!
//! Read as a whole every few seconds and compared by content, because a ConfigMap is replaced by
//! moving one symbolic link: neither the times of the files nor a watch on them show this reliably.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Maximum size of a plugin file.
const MOST_BYTES: u64 = 256 << 10;
const MOST_PLUGINS: usize = 64;
const ENDING: &str = ".rhai";

/// Text of every plugin by its name, or the reason why it cannot be used.
pub(super) type Sources = BTreeMap<String, Result<String, String>>;

/// Why the folder could not be read. A missing folder is not an error: there are no plugins then.
#[derive(Debug, thiserror::Error)]
#[error("could not read the plugin folder {path}", path = path.display())]
pub(super) struct FolderError {
    path: PathBuf,
    source: std::io::Error,
}

/// # Errors
/// [`FolderError`]; a single file that cannot be read is in the answer.
pub(super) fn read(path: &Path) -> Result<Sources, FolderError> {
    let fail = |source| FolderError {
        path: path.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Sources::new()),
        entries => entries.map_err(fail)?,
    };
    let mut sources = Sources::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(ENDING)) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        sources.insert(
            name.to_owned(),
            if is_name(name) {
                text(&entry.path())
            } else {
                Err(bad_name(name))
            },
        );
    }
    for (_, source) in sources.iter_mut().skip(MOST_PLUGINS) {
        *source = Err(format!(
            "only the first {MOST_PLUGINS} plugins of the folder are loaded"
        ));
    }
    Ok(sources)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(allowed)
}

fn bad_name(name: &str) -> String {
    format!("{name:?} is not a valid plugin name: use up to 64 characters of a-z, 0-9, - and _")
}

fn text(path: &Path) -> Result<String, String> {
    let must_be_file = |metadata: std::fs::Metadata| {
        let refusal = || std::io::Error::other("it is not a file");
        metadata.is_file().then_some(()).ok_or_else(refusal)
    };
    let open = || {
        // Opening a device can do something, and opening a pipe waits for somebody who writes.
        must_be_file(std::fs::metadata(path)?)?;
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        must_be_file(file.metadata()?)?;
        let mut text = String::new();
        file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    match open() {
        Ok(text) if text.len() as u64 > MOST_BYTES => {
            Err(format!("it has more than {MOST_BYTES} bytes"))
        }
        Ok(text) => Ok(text),
        Err(error) => Err(format!("could not read it: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_swapped_as_a_whole_is_read_through_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("..one"), folder.path().join("..two"));
        for (version, text) in [(&one, "1"), (&two, "2")] {
            std::fs::create_dir(version).unwrap();
            std::fs::write(version.join("a.rhai"), text).unwrap();
        }
        let data = folder.path().join("..data");
        std::os::unix::fs::symlink(&one, &data).unwrap();
        std::os::unix::fs::symlink("..data/a.rhai", folder.path().join("a.rhai")).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no plugin").unwrap();
        std::fs::write(folder.path().join("Bad Name.rhai"), "").unwrap();
        let first = read(folder.path()).unwrap();
        assert_eq!(first["a"].as_deref(), Ok("1"));
        assert!(first["Bad Name"].is_err() && first.len() == 2);
        std::os::unix::fs::symlink(&two, folder.path().join("..new")).unwrap();
        std::fs::rename(folder.path().join("..new"), &data).unwrap();
        assert_eq!(read(folder.path()).unwrap()["a"].as_deref(), Ok("2"));
    }

    #[test]
    fn a_pipe_and_a_device_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.rhai");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::os::unix::fs::symlink(&pipe, folder.path().join("link.rhai")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("device.rhai")).unwrap();
        std::fs::create_dir(folder.path().join("folder.rhai")).unwrap();
        std::fs::write(folder.path().join("good.rhai"), "1").unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        let path = folder.path().to_owned();
        std::thread::spawn(move || send.send(read(&path).unwrap()));
        let sources = receive
            .recv_timeout(std::time::Duration::from_secs(20))
            .expect("something in the folder stops the reading of it");
        for bad in ["pipe", "link", "device", "folder"] {
            let refused = Err("could not read it: it is not a file".to_owned());
            assert_eq!(sources[bad], refused, "{bad}");
        }
        assert_eq!(sources["good"].as_deref(), Ok("1"));
    }

    #[test]
    fn no_folder_is_no_plugins() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("none")).unwrap().is_empty());
        std::fs::write(folder.path().join("large.rhai"), " ".repeat(1 << 20)).unwrap();
        assert!(read(folder.path()).unwrap()["large"].is_err());
    }
}
