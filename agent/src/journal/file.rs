//! One session on disk: `sessions/TASK` in the state directory.
//!
//! A mark of 8 bytes, BLAKE3 of the rest (32 bytes), and the rest: a [`Kept`] in the encoding of
//! protocol buffers, so that later versions can add to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use foghorn_proto::link::{OpenSession, SessionEnded};
use foghorn_types::TaskId;
use prost::Message as _;

use crate::whole_file::write_whole;

const MARK: &[u8; 8] = b"FHSESS1\n";
const HEAD: usize = MARK.len() + blake3::OUT_LEN;

/// What is kept of a session until the controller has recorded its end.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Kept {
    /// The last order, with the client that was admitted since.
    #[prost(message, optional, tag = "1")]
    pub(crate) order: Option<OpenSession>,
    /// The report of its end.
    #[prost(message, optional, tag = "2")]
    pub(crate) ended: Option<SessionEnded>,
}

/// Why a file was not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadKeptError {
    #[error("it could not be read")]
    Read(#[from] io::Error),
    #[error("it is damaged, or of another version")]
    Mark,
    #[error("it does not have the form that this version writes")]
    Decode(#[from] prost::DecodeError),
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("sessions")
}

fn place(state_dir: &Path, task: TaskId) -> PathBuf {
    folder(state_dir).join(task.to_string())
}

/// A file, and what is in it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) task: TaskId,
    pub(super) kept: Result<Kept, ReadKeptError>,
}

/// Every file, with what is in it. Files with other names are not looked at.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn load(state_dir: &Path) -> io::Result<Vec<Found>> {
    let entries = match fs::read_dir(folder(state_dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let draft = name.and_then(|name| name.strip_suffix(".new"));
        if draft.is_some_and(|name| name.parse::<TaskId>().is_ok()) {
            // A crash has left it; the file that it was to replace is still there.
            fs::remove_file(&path)?;
            continue;
        }
        if let Some(task) = name.and_then(|name| name.parse().ok()) {
            let kept = fs::read(&path)
                .map_err(ReadKeptError::from)
                .and_then(|bytes| parse(&bytes));
            found.push(Found { path, task, kept });
        }
    }
    Ok(found)
}

fn parse(bytes: &[u8]) -> Result<Kept, ReadKeptError> {
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(ReadKeptError::Mark)?;
    let (mark, hash) = head.split_at(MARK.len());
    if mark != MARK || hash != blake3::hash(body).as_bytes() {
        return Err(ReadKeptError::Mark);
    }
    Ok(Kept::decode(body)?)
}

/// # Errors
/// When it cannot be written.
pub(super) fn save(state_dir: &Path, task: TaskId, kept: &Kept) -> io::Result<()> {
    let body = kept.encode_to_vec();
    let mut bytes = MARK.to_vec();
    bytes.extend(blake3::hash(&body).as_bytes());
    bytes.extend(body);
    write_whole(&place(state_dir, task), &bytes)
}

/// A file that comes back after a crash is one that the controller has recorded: it says so again.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove(state_dir: &Path, task: TaskId) -> io::Result<()> {
    match fs::remove_file(place(state_dir, task)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_loads_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let task = TaskId::new(7).unwrap();
        let kept = Kept {
            order: Some(OpenSession {
                task_id: 7,
                host_name: "pc".to_owned(),
                ..Default::default()
            }),
            ended: None,
        };
        save(folder.path(), task, &kept).unwrap();
        let path = place(folder.path(), task);
        fs::write(path.with_file_name("notes.txt"), "mine").unwrap();
        fs::write(path.with_file_name("9.new"), "half").unwrap();
        let loaded = load(folder.path()).unwrap();
        assert!(
            matches!(&loaded[..], [Found { task: found, kept: Ok(same), .. }] if *found == task && *same == kept),
            "{loaded:?}"
        );
        assert!(!path.with_file_name("9.new").exists());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            assert!(parse(&bytes).is_err(), "byte {at}");
            assert!(parse(&whole[..at]).is_err(), "cut at {at}");
        }
        remove(folder.path(), task).unwrap();
        remove(folder.path(), task).unwrap();
        assert!(load(folder.path()).unwrap().is_empty());
    }
}
