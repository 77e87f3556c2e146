//! The client as a file for machines that have none yet: one for each kind of processor, from a
//! folder that packages fill.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::{Stream, try_unfold};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// Downloads at a time. A room that starts at once fits; each holds one piece in memory.
const MOST: usize = 128;
const PIECE: usize = 64 << 10;

/// See the module.
pub struct Downloads {
    folder: PathBuf,
    /// What was hashed before, by name. Held while a file is hashed, so that each is hashed once.
    hashed: Mutex<HashMap<String, (Identity, String)>>,
    slots: Arc<Semaphore>,
}

/// What changes when a file is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A file that is there.
#[derive(Debug)]
pub struct Download {
    pub size: u64,
    /// Of the content, in hexadecimal digits.
    pub sha256: String,
    file: File,
}

/// Why a file is not offered.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("this controller offers no file of this name")]
    BadName,
    #[error(
        "this controller has no client for download: {path} does not exist; the package foghorn-client installs it",
        path = path.display()
    )]
    Missing { path: PathBuf },
    #[error("could not read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} machines are downloading the client at this moment: try again",
        MOST
    )]
    Busy,
}

impl Downloads {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            hashed: Mutex::default(),
            slots: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// The file `name`, with its hash.
    ///
    /// # Errors
    /// When the name is not that of a client, or the file does not exist or cannot be read.
    pub async fn find(&self, name: &str) -> Result<Download, DownloadError> {
        if !is_client(name) {
            return Err(DownloadError::BadName);
        }
        let path = self.folder.join(name);
        let mut hashed = self.hashed.lock().await;
        let known = hashed.get(name).cloned();
        let read_path = path.clone();
        let opened = tokio::task::spawn_blocking(move || open(&read_path, known)).await;
        let opened = opened.map_err(io::Error::other).and_then(|opened| opened);
        let (identity, download) = opened.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DownloadError::Missing { path },
            _ => DownloadError::Read { path, source },
        })?;
        hashed.insert(name.to_owned(), (identity, download.sha256.clone()));
        Ok(download)
    }

    /// The content of a file, piece by piece.
    ///
    /// # Errors
    /// When too many are being sent.
    pub fn send(
        &self,
        download: Download,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, DownloadError> {
        let slot = self.slots.clone().try_acquire_owned();
        let slot = slot.map_err(|_| DownloadError::Busy)?;
        let file = tokio::fs::File::from_std(download.file);
        Ok(try_unfold((file, download.size, slot), piece))
    }
}

type Sending = (tokio::fs::File, u64, OwnedSemaphorePermit);

async fn piece((mut file, left, slot): Sending) -> io::Result<Option<(Bytes, Sending)>> {
    if left == 0 {
        return Ok(None);
    }
    let mut buffer = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
    file.read_exact(&mut buffer).await?;
    let left = left - buffer.len() as u64;
    Ok(Some((buffer.into(), (file, left, slot))))
}

/// `foghorn-client-` and the kind of a processor.
fn is_client(name: &str) -> bool {
    name.strip_prefix("foghorn-client-").is_some_and(|kind| {
        (1..=32).contains(&kind.len())
            && kind
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

/// Opens the file, and reads it once when it is not the one that is known.
fn open(path: &Path, known: Option<(Identity, String)>) -> io::Result<(Identity, Download)> {
    use std::io::Seek as _;
    let mut file = File::open(path)?;
    let identity = Identity::of(&file)?;
    let sha256 = match known {
        Some((same, sha256)) if same == identity => sha256,
        _ => {
            let sha256 = hash(&mut file, identity.size)?;
            file.rewind()?;
            sha256
        }
    };
    let size = identity.size;
    Ok((identity, Download { size, sha256, file }))
}

fn hash(file: &mut File, size: u64) -> io::Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; PIECE];
    let mut source = file.take(size);
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    Ok(HEXLOWER.encode(context.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    const NAME: &str = "foghorn-client-x86_64";

    #[test]
    fn only_names_of_clients_are_looked_for() {
        assert!(is_client(NAME) && is_client("foghorn-client-aarch64"));
        for bad in [
            "",
            "foghorn-client-",
            "foghorn-client-../x",
            "foghorn-client-x86_64.sha256",
            "foghorn-client-X",
            "ca.key",
        ] {
            assert!(!is_client(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_replaced_file_has_a_new_hash() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = Downloads::new(folder.path().to_owned());
        let missing = downloads.find(NAME).await.unwrap_err();
        assert!(
            matches!(missing, DownloadError::Missing { .. }),
            "{missing}"
        );
        let path = folder.path().join(NAME);
        std::fs::write(&path, vec![1; PIECE + 5]).unwrap();
        let first = downloads.find(NAME).await.unwrap();
        assert_eq!(downloads.find(NAME).await.unwrap().sha256, first.sha256);
        let new = folder.path().join("new");
        std::fs::write(&new, vec![2; PIECE + 5]).unwrap();
        std::fs::rename(&new, &path).unwrap();
        let second = downloads.find(NAME).await.unwrap();
        assert_ne!(second.sha256, first.sha256);
        // What was found before is sent as it was then.
        let pieces: Vec<Bytes> = downloads.send(first).unwrap().try_collect().await.unwrap();
        assert_eq!(pieces.concat(), vec![1; PIECE + 5]);
    }

    #[tokio::test]
    async fn not_more_than_so_many_are_sent_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), "client").unwrap();
        let downloads = Downloads::new(folder.path().to_owned());
        let mut sending = Vec::new();
        for _ in 0..MOST {
            let found = downloads.find(NAME).await.unwrap();
            sending.push(downloads.send(found).unwrap());
        }
        let found = downloads.find(NAME).await.unwrap();
        assert!(matches!(downloads.send(found), Err(DownloadError::Busy)));
        sending.pop();
        let found = downloads.find(NAME).await.unwrap();
        assert!(downloads.send(found).is_ok());
    }
}
