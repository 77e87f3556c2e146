//! What lasts: the document as it was received, what has begun, what was done once, and notes of the work of the host.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use foghorn_host_config::Document;
use foghorn_host_config::plan::Pending;
use foghorn_types::{Timestamp, chain};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::whole::{self, Whole};

pub(super) const DOCUMENT: &str = "config.encrypted";
const PENDING: &str = "config.pending";
const LAST_ACTIONS: &str = "last-remote-actions";
/// Whoever enrols in the place of another one leaves it.
pub(super) const NEWCOMER: &str = "newcomer";
const ANNOUNCED: &str = "announced-remote-actions";
const PRIVATE: u32 = 0o600;

/// Why something of the storage could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The folder of what lasts.
#[derive(Clone, Debug)]
pub(super) struct Storage(PathBuf);

impl Storage {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn make(&self) -> Result<(), StorageError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.0);
        made.map_err(|source| StorageError::Write {
            path: self.0.clone(),
            source,
        })
    }

    /// The document of the last config that was taken over, and the time that its `Date` said. One that cannot be read is as
    /// none: the gateway sends it again.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn document(&self) -> Result<Option<(Document, Option<Timestamp>)>, StorageError> {
        let path = self.0.join(DOCUMENT);
        let Some(bytes) = self.read(DOCUMENT)? else {
            return Ok(None);
        };
        let document = match Document::read(&bytes) {
            Ok(document) => document,
            Err(error) => {
                let (path, error) = (path.display(), chain(&error));
                tracing::warn!(%path, %error, "the stored config cannot be read, and is fetched anew");
                return Ok(None);
            }
        };
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let modified = modified.map_err(|source| StorageError::Read { path, source })?;
        // Without a date it was stored with the beginning of all times.
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or_default();
        let date = Some(Timestamp::from_millis(millis)).filter(|_| millis > 0);
        Ok(Some((document, date)))
    }

    /// Stores a document as it was received, with the time that its `Date` said.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn store_document(
        &self,
        bytes: &[u8],
        date: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let millis = date.map_or(0, Timestamp::as_millis);
        let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        self.write(DOCUMENT, bytes, Some(UNIX_EPOCH + since))
    }

    /// What a run that did not come to its end has left; nothing when it cannot be read.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn pending(&self) -> Result<Pending, StorageError> {
        let bytes = self.read(PENDING)?;
        let pending = bytes
            .map(|bytes| serde_json::from_slice::<Pending>(&bytes))
            .transpose();
        Ok(pending
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "the list of what has begun cannot be read");
                None
            })
            .unwrap_or_default())
    }

    /// Whether a run did not come to its end.
    pub(super) fn is_pending(&self) -> bool {
        self.0.join(PENDING).exists()
    }

    /// Stores what begins now.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn store_pending(&self, pending: &Pending) -> Result<(), StorageError> {
        let bytes = serde_json::to_vec(pending).expect("names are texts");
        self.write(PENDING, &bytes, None)
    }

    /// Nothing is under way any more.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn end_pending(&self) -> Result<(), StorageError> {
        self.forget(PENDING)
    }

    /// Of each remote action the id of the order that was carried out last.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn last_actions(&self) -> Result<BTreeMap<String, String>, StorageError> {
        Ok(self.note(LAST_ACTIONS)?.unwrap_or_default())
    }

    /// Remembers the ids of the orders that were carried out last.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn store_last_actions(
        &self,
        ids: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        self.store_note(LAST_ACTIONS, ids)
    }

    /// Whether this identity took the place of another one, and no config has been taken over since.
    pub(super) fn is_newcomer(&self) -> bool {
        self.0.join(NEWCOMER).exists()
    }

    /// A config was taken over with this identity.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn is_settled(&self) -> Result<(), StorageError> {
        self.forget(NEWCOMER)
    }

    /// The list of remote actions that the gateway was told last.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn announced(&self) -> Result<Option<String>, StorageError> {
        self.text(ANNOUNCED)
    }

    /// Remembers the list of remote actions that the gateway was told.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn store_announced(&self, list: &str) -> Result<(), StorageError> {
        self.write(ANNOUNCED, list.as_bytes(), None)
    }

    /// A note of this name. One that cannot be read is as none, with a warning.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn note<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StorageError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(note) => Ok(Some(note)),
            Err(error) => {
                let path = self.0.join(name);
                tracing::warn!(path = %path.display(), %error, "what was noted cannot be read");
                Ok(None)
            }
        }
    }

    /// Stores a note.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn store_note(&self, name: &str, note: &impl Serialize) -> Result<(), StorageError> {
        let bytes = serde_json::to_vec(note).map_err(|error| StorageError::Write {
            path: self.0.join(name),
            source: error.into(),
        })?;
        self.write(name, &bytes, None)
    }

    /// Stores what a program has said.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn store_output(&self, name: &str, output: &[u8]) -> Result<(), StorageError> {
        self.write(name, output, None)
    }

    /// Forgets a note, if it is there.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn forget(&self, name: &str) -> Result<(), StorageError> {
        let path = self.0.join(name);
        whole::remove(&path).map_err(|source| StorageError::Write { path, source })
    }

    fn text(&self, name: &str) -> Result<Option<String>, StorageError> {
        let bytes = self.read(name)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StorageError::Read { path, source }),
        }
    }

    fn write(
        &self,
        name: &str,
        bytes: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<(), StorageError> {
        let path = self.0.join(name);
        let draft = self.0.join(format!("{name}.new"));
        let whole = Whole {
            draft: &draft,
            to: &path,
            mode: PRIVATE,
            modified,
        };
        let written = whole.draft(bytes).and_then(|()| whole.name());
        written.map_err(|source| StorageError::Write { path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn storage() -> (tempfile::TempDir, Storage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(&folder.path().join("sota"));
        storage.make().unwrap();
        (folder, storage)
    }

    #[test]
    fn a_document_is_kept_with_its_date() {
        let (_folder, storage) = storage();
        assert!(storage.document().unwrap().is_none());
        let date = Timestamp::from_millis(784_111_777_000);
        storage.store_document(b"{\"a\":{}}", Some(date)).unwrap();
        let (document, found) = storage.document().unwrap().unwrap();
        assert_eq!((document.0.len(), found), (1, Some(date)));
        let file = fs::metadata(storage.folder().join(DOCUMENT)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        storage.store_document(b"{}", None).unwrap();
        assert_eq!(storage.document().unwrap().unwrap().1, None);
        assert_eq!(
            fs::read_dir(storage.folder()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_damaged_document_is_as_none() {
        let (_folder, storage) = storage();
        storage.store_document(b"{\"a\":", None).unwrap();
        assert!(storage.document().unwrap().is_none());
    }

    #[test]
    fn what_is_pending_is_kept_until_it_is_ended() {
        let (_folder, storage) = storage();
        let pending: Pending =
            serde_json::from_str(r#"{"a":{"on_changed":["/h"],"owed":true}}"#).unwrap();
        storage.store_pending(&pending).unwrap();
        assert_eq!(storage.pending().unwrap(), pending);
        for _ in 0..2 {
            storage.end_pending().unwrap();
            assert_eq!(storage.pending().unwrap(), Pending::default());
        }
    }
}
