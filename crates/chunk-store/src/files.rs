//! Files beside images: snapins and the like, stored as chunks. `files/ID.file` lists the chunks of
//! one; the sweep keeps them.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use foghorn_types::{ByteCount, ChunkId, FileId};

use crate::manifests::write_durably;
use crate::pack::sync_dir;
use crate::put::{NewChunk, PutError};
use crate::read::ReadChunkError;
use crate::store::Store;

/// Plain bytes of every chunk of a file but the last.
const CHUNK: usize = 1 << 20;
/// Chunks that are stored with one flush.
const BATCH: usize = 16;
/// What zstd's own default is: files are stored once and read often.
const LEVEL: i32 = 3;

const MAGIC: &[u8; 8] = b"FGHFILE1";
const DIGEST: usize = 32;

/// The file was not stored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum PutFileError {
    #[error("could not read the file to its end")]
    Source(#[source] io::Error),
    /// Nothing refers to its chunks, so they go with a later sweep.
    #[error("the hash of the file is {found}, not {expected}")]
    WrongContent { expected: FileId, found: FileId },
    #[error("a part of the file could not be compressed")]
    Compress(#[source] io::Error),
    #[error("a part of the file could not be stored")]
    Chunk(#[from] PutError),
    #[error("could not write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The file could not be had, or not to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadFileError {
    #[error("file {0} is not in the store")]
    NotFound(FileId),
    #[error("the record of file {0} is damaged on disk")]
    Damaged(FileId),
    #[error("could not read {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("a part of the file could not be read")]
    Chunk(#[from] ReadChunkError),
    #[error("chunk {0} does not decompress to what it should be")]
    Content(ChunkId),
    #[error("the receiver of the file is gone")]
    Unwanted,
}

/// The file may or may not be gone, or the files could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("could not access {path}", path = path.display())]
pub struct FileDirError {
    path: PathBuf,
    source: io::Error,
}

/// What is known of a stored file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileRecord {
    pub(crate) len: ByteCount,
    pub(crate) chunks: Vec<ChunkId>,
}

impl FileRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAGIC.len() + 8 + DIGEST * (self.chunks.len() + 1));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.len.bytes().to_le_bytes());
        for chunk in &self.chunks {
            out.extend_from_slice(chunk.as_bytes());
        }
        let sum = blake3::hash(&out);
        out.extend_from_slice(sum.as_bytes());
        out
    }

    /// `None` when these are not the bytes that were written.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
        if blake3::hash(body).as_bytes() != sum {
            return None;
        }
        let (len, ids) = body.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let (ids, rest) = ids.as_chunks::<DIGEST>();
        let chunks = ids.iter().map(|id| ChunkId::from_digest(*id)).collect();
        rest.is_empty().then_some(Self {
            len: ByteCount::from_bytes(u64::from_le_bytes(*len)),
            chunks,
        })
    }
}

impl Store {
    fn files_dir(&self) -> PathBuf {
        self.path().join("files")
    }

    fn file_path(&self, id: FileId) -> PathBuf {
        self.files_dir().join(format!("{id}.file"))
    }

    /// Stores what `source` gives as the file `id`, durably, and returns its size. A file that is
    /// here already is stored again, which heals damaged chunks and costs no space.
    ///
    /// # Errors
    /// When the content is not what `id` says, the source or the disk fails; see
    /// [`PutFileError::Chunk`] for a full disk.
    pub fn put_file(
        self: &Arc<Self>,
        id: FileId,
        source: &mut dyn Read,
    ) -> Result<ByteCount, PutFileError> {
        // Chunks that were put for it stay until the record names them.
        let guard = self.capture_guard();
        let (mut hasher, mut len, mut chunks) = (blake3::Hasher::new(), 0, Vec::new());
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let plain = next_part(source).map_err(PutFileError::Source)?;
            if plain.is_empty() {
                break;
            }
            hasher.update(&plain);
            len += plain.len() as u64;
            let chunk = compressed(&plain).map_err(PutFileError::Compress)?;
            chunks.push(chunk.id);
            batch.push(chunk);
            if batch.len() == BATCH {
                guard.put_batch(&batch)?;
                batch.clear();
            }
        }
        guard.put_batch(&batch)?;
        let found = FileId::from_digest(*hasher.finalize().as_bytes());
        if found != id {
            return Err(PutFileError::WrongContent {
                expected: id,
                found,
            });
        }
        let record = FileRecord {
            len: ByteCount::from_bytes(len),
            chunks,
        };
        let path = self.file_path(id);
        let _references = self
            .references
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let write = || {
            fs::create_dir_all(self.files_dir())?;
            foghorn_faults::fail!("store.snapin.before-record")?;
            write_durably(&path, &record.encode(), None)
        };
        write().map_err(|source| PutFileError::Io {
            path: path.clone(),
            source,
        })?;
        self.ledger.file_is_whole(&id);
        Ok(record.len)
    }

    /// Gives the parts of a file in their order to `take`, each verified; stops when `take` says
    /// `false`.
    ///
    /// # Errors
    /// See [`ReadFileError`]; what was given until then was right.
    pub fn read_file(
        &self,
        id: FileId,
        take: &mut dyn FnMut(Bytes) -> bool,
    ) -> Result<ByteCount, ReadFileError> {
        let record = self.file_record(id)?;
        for chunk in &record.chunks {
            let stored = self.read(*chunk)?;
            let plain = zstd::bulk::decompress(&stored.compressed, stored.plain_len as usize)
                .map_err(|_| ReadFileError::Content(*chunk))?;
            if ChunkId::of(&plain) != *chunk {
                return Err(ReadFileError::Content(*chunk));
            }
            if !take(Bytes::from(plain)) {
                return Err(ReadFileError::Unwanted);
            }
        }
        Ok(record.len)
    }

    pub(crate) fn file_record(&self, id: FileId) -> Result<FileRecord, ReadFileError> {
        let path = self.file_path(id);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ReadFileError::NotFound(id),
            _ => ReadFileError::Io { path, source },
        })?;
        FileRecord::decode(&bytes).ok_or_else(|| {
            let error = ReadFileError::Damaged(id);
            self.ledger.add_file(id, self.found(error.to_string()));
            error
        })
    }

    /// The files that are here, ascending.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn files(&self) -> Result<Vec<FileId>, FileDirError> {
        let dir = self.files_dir();
        let failed = |source| FileDirError {
            path: dir.clone(),
            source,
        };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            files.extend(
                name.to_str()
                    .and_then(|name| name.strip_suffix(".file")?.parse::<FileId>().ok()),
            );
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Forgets a file; chunks that nothing else needs go with a sweep. Returns whether it was here.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn drop_file(&self, id: FileId) -> Result<bool, FileDirError> {
        let _references = self
            .references
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let path = self.file_path(id);
        match fs::remove_file(&path).and_then(|()| sync_dir(&self.files_dir())) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(FileDirError { path, source }),
        }
    }

    /// Every chunk that a file needs. A damaged record is an error: nobody knows which chunks it
    /// needs.
    pub(crate) fn chunks_of_files(&self) -> Result<Vec<ChunkId>, ReadFileError> {
        let files = self.files().map_err(|error| ReadFileError::Io {
            path: error.path,
            source: error.source,
        })?;
        let mut chunks = Vec::new();
        for id in files {
            chunks.extend(self.file_record(id)?.chunks);
        }
        Ok(chunks)
    }
}

/// Up to a chunk's worth; less only at the end.
fn next_part(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut part = Vec::with_capacity(CHUNK);
    source.take(CHUNK as u64).read_to_end(&mut part)?;
    Ok(part)
}

fn compressed(plain: &[u8]) -> io::Result<NewChunk> {
    let compressed = Bytes::from(zstd::bulk::compress(plain, LEVEL)?);
    let plain_len = u32::try_from(plain.len()).expect("a part is at most 1 MiB");
    Ok(NewChunk {
        id: ChunkId::of(plain),
        plain_len,
        compressed,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Options;

    fn read(store: &Store, id: FileId) -> Result<Vec<u8>, ReadFileError> {
        let mut all = Vec::new();
        store.read_file(id, &mut |part| {
            all.extend_from_slice(&part);
            true
        })?;
        Ok(all)
    }

    #[test]
    fn a_file_outlives_sweeps_until_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let plain: Vec<u8> = (0..3_000_000_u32)
            .map(|n| n.wrapping_mul(n).to_le_bytes()[1])
            .collect();
        let id = FileId::of(&plain);
        {
            let store = Arc::new(Store::open(folder.path(), Options::default()).expect("a store"));
            assert_eq!(
                store
                    .put_file(id, &mut plain.as_slice())
                    .expect("stored")
                    .bytes(),
                3_000_000
            );
        }
        let store = Arc::new(Store::open(folder.path(), Options::default()).expect("a store"));
        store.sweep(Duration::ZERO).expect("swept");
        assert_eq!(read(&store, id).expect("it is there"), plain);
        assert_eq!(store.files().expect("listed"), [id]);
        assert!(
            store.drop_file(id).expect("dropped") && !store.drop_file(id).expect("nothing to drop")
        );
        assert!(matches!(read(&store, id), Err(ReadFileError::NotFound(_))));
        store.sweep(Duration::ZERO).expect("swept");
        assert_eq!(store.stats().expect("figures").chunks, 0);
    }

    #[test]
    fn what_could_not_be_written_is_not_left_and_what_a_crash_left_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Arc::new(Store::open(folder.path(), Options::default()).expect("a store"));
        let store = open();
        let id = FileId::of(b"right");
        let unfinished = store.file_path(id).with_extension("new");
        let armed = foghorn_faults::scope::arm("store.record.before-rename=error@1");
        let failed = store.put_file(id, &mut b"right".as_slice());
        assert!(matches!(failed, Err(PutFileError::Io { .. })), "{failed:?}");
        assert!(!unfinished.exists());
        drop(armed);
        store
            .put_file(id, &mut b"right".as_slice())
            .expect("the next attempt");
        drop(store);
        fs::write(&unfinished, b"half of it").expect("as after a crash");
        let store = open();
        assert!(!unfinished.exists());
        assert_eq!(read(&store, id).expect("it is there"), b"right");
    }

    #[test]
    fn wrong_content_and_damaged_records_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path(), Options::default()).expect("a store"));
        let id = FileId::of(b"right");
        let refused = store.put_file(id, &mut b"wrong".as_slice());
        assert!(
            matches!(refused, Err(PutFileError::WrongContent { .. })),
            "{refused:?}"
        );
        assert!(store.files().expect("listed").is_empty());
        store
            .put_file(id, &mut b"right".as_slice())
            .expect("stored");
        let empty = FileId::of(b"");
        store
            .put_file(empty, &mut b"".as_slice())
            .expect("an empty file is one, too");
        assert_eq!(read(&store, empty).expect("it is there"), b"");
        let path = store.file_path(id);
        let mut bytes = fs::read(&path).expect("the record");
        bytes[20] ^= 1;
        fs::write(&path, bytes).expect("damaged");
        assert!(matches!(read(&store, id), Err(ReadFileError::Damaged(_))));
        assert!(
            store.sweep(Duration::ZERO).is_err(),
            "a sweep that does not know what is needed"
        );
    }
}
