//! Uploads on their way to a node: a file without a name on the controller's disk, hashed while it
//! is written.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use foghorn_types::{ByteCount, FileId};
use futures_util::{Stream, StreamExt, stream};
use ring::digest::{Context, SHA512};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::agents::files::{FileError, Parts};

/// A client that sends nothing for this long counts as disconnected.
const SILENT_WITHIN: Duration = Duration::from_secs(60);
/// Block size when the file is read back.
const PART: usize = 1 << 20;
/// Maximum number of concurrent uploads; further ones are refused.
const AT_ONCE: usize = 4;

/// Why an upload failed at this point.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("too many concurrent uploads, try again")]
    Busy,
    #[error("the file is larger than {limit}")]
    TooLarge { limit: ByteCount },
    #[error("the body was cut off or no data arrived for too long")]
    BrokenBody,
    #[error("could not write to {path}", path = path.display())]
    Disk { path: PathBuf, source: io::Error },
}

/// Directory and maximum size of uploads.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    limit: ByteCount,
    places: Semaphore,
}

/// A complete upload.
pub(crate) struct Spooled<'u> {
    content: Arc<File>,
    pub(crate) file: FileId,
    pub(crate) sha512: String,
    pub(crate) size: ByteCount,
    _place: SemaphorePermit<'u>,
}

impl Uploads {
    /// `folder` is created with the first upload; `limit` is the maximum size of a file.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, limit: ByteCount) -> Self {
        Self {
            folder: folder.into(),
            limit,
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Receives a complete body.
    pub(crate) async fn take_in<S, E>(&self, mut body: S) -> Result<Spooled<'_>, SpoolError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let place = self.places.try_acquire().map_err(|_| SpoolError::Busy)?;
        let failed = |source| SpoolError::Disk {
            path: self.folder.clone(),
            source,
        };
        let folder = self.folder.clone();
        let opened = tokio::task::spawn_blocking(move || nameless(&folder)).await;
        let content = Arc::new(
            opened
                .map_err(|error| failed(io::Error::other(error)))?
                .map_err(failed)?,
        );
        let (mut sha, mut blake, mut size) = (Context::new(&SHA512), blake3::Hasher::new(), 0_u64);
        loop {
            let next = tokio::time::timeout(SILENT_WITHIN, body.next()).await;
            let part = match next.map_err(|_| SpoolError::BrokenBody)? {
                None => break,
                Some(part) => part.map_err(|_| SpoolError::BrokenBody)?,
            };
            size += part.len() as u64;
            if size > self.limit.bytes() {
                return Err(SpoolError::TooLarge { limit: self.limit });
            }
            sha.update(&part);
            blake.update(&part);
            let file = content.clone();
            let written = tokio::task::spawn_blocking(move || (&*file).write_all(&part)).await;
            written
                .map_err(|error| failed(io::Error::other(error)))?
                .map_err(failed)?;
        }
        Ok(Spooled {
            content,
            file: FileId::from_digest(*blake.finalize().as_bytes()),
            sha512: HEXLOWER.encode(sha.finish().as_ref()),
            size: ByteCount::from_bytes(size),
            _place: place,
        })
    }
}

impl Spooled<'_> {
    /// The file itself, for whoever reads it from any place.
    pub(crate) fn open(&self) -> io::Result<File> {
        self.content.try_clone()
    }

    /// The content from its beginning.
    pub(crate) fn parts(&self) -> Parts {
        let state = Some((self.content.clone(), 0_u64));
        stream::unfold(state, |state| async {
            let (file, at) = state?;
            let source = file.clone();
            let read = tokio::task::spawn_blocking(move || read_part(&source, at)).await;
            match read.map_err(io::Error::other).and_then(|read| read) {
                Ok(part) if part.is_empty() => None,
                Ok(part) => {
                    let next = at + part.len() as u64;
                    Some((Ok(part), Some((file, next))))
                }
                Err(error) => Some((Err(FileError::Source(error.to_string())), None)),
            }
        })
        .boxed()
    }
}

/// A file that only its owner can access and whose name is removed: it is deleted with its last
/// handle, however this process ends.
fn nameless(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut name = [0; 16];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let path = folder.join(format!("{}.upload", HEXLOWER.encode(&name)));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn read_part(file: &File, at: u64) -> io::Result<Bytes> {
    let mut part = vec![0; PART];
    let mut len = 0;
    while len < PART {
        match file.read_at(&mut part[len..], at + len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    part.truncate(len);
    Ok(Bytes::from(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(
        parts: &[&'static [u8]],
    ) -> impl Stream<Item = Result<Bytes, io::Error>> + Unpin + use<> {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Ok(Bytes::from_static(part)))
            .collect();
        stream::iter(parts)
    }

    #[tokio::test]
    async fn an_upload_is_hashed_bounded_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(folder.path().join("spool"), ByteCount::from_bytes(8));
        let spooled = uploads.take_in(body(&[b"abc", b"def"])).await.unwrap();
        assert_eq!(
            (spooled.size.bytes(), spooled.file),
            (6, FileId::of(b"abcdef"))
        );
        assert!(
            spooled
                .sha512
                .starts_with("e32ef19623e8ed9d267f657a81944b3d"),
            "{}",
            spooled.sha512
        );
        for _ in 0..2 {
            let parts: Vec<_> = spooled.parts().map(Result::unwrap).collect().await;
            assert_eq!(parts.concat(), b"abcdef");
        }
        assert_eq!(
            std::fs::read_dir(folder.path().join("spool"))
                .unwrap()
                .count(),
            0
        );
        let large = uploads.take_in(body(&[b"abcde", b"fghi"])).await;
        assert!(matches!(large, Err(SpoolError::TooLarge { .. })));
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(io::Error::other("gone"))]);
        assert!(matches!(
            uploads.take_in(broken).await,
            Err(SpoolError::BrokenBody)
        ));
    }

    #[tokio::test]
    async fn uploads_are_bounded_in_number() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(folder.path(), ByteCount::from_bytes(8));
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(uploads.take_in(body(&[b"x"])).await.unwrap());
        }
        assert!(matches!(
            uploads.take_in(body(&[b"x"])).await,
            Err(SpoolError::Busy)
        ));
        held.pop();
        assert!(uploads.take_in(body(&[b"x"])).await.is_ok());
    }
}
