//! Where each chunk is: redb, with a small cache. Most commits are not flushed by themselves,
//! because a pack's tail is read again at start; see `recovery`.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use foghorn_types::{ChunkId, Timestamp};
use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, WriteTransaction,
};

use crate::pack::PackNumber;
use crate::record::record_len;

const ENTRY_LEN: usize = 29;
const CHUNKS: TableDefinition<'_, &[u8; 32], &[u8; ENTRY_LEN]> = TableDefinition::new("chunks");
/// Bytes of each pack that the index knows.
const PACKS: TableDefinition<'_, PackNumber, u64> = TableDefinition::new("packs");
const FIGURES: TableDefinition<'_, &str, u64> = TableDefinition::new("figures");
/// Bytes of packs that records of present chunks take.
const LIVE_BYTES: &str = "live bytes";
/// 1 M chunks make an index of about 120 MB; what is in use at a time is far less.
const CACHE: usize = 24 << 20;

/// The index of the store failed.
#[derive(Debug, thiserror::Error)]
#[error("the index of the chunk store failed")]
pub struct IndexError(#[source] Box<redb::Error>);

impl IndexError {
    pub(crate) fn is_full(&self) -> bool {
        matches!(&*self.0, redb::Error::Io(error) if crate::put::means_full(error))
    }

    /// Whether the file itself is wrong, so that a new one must be made of the packs. Otherwise the
    /// file system or another process prevents its use, and the file may be good.
    pub(crate) fn is_damage(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match &*self.0 {
            redb::Error::Io(error) => {
                !crate::put::means_full(error)
                    && !matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
            }
            redb::Error::PreviousIo
            | redb::Error::DatabaseAlreadyOpen
            // Only what stands in for a file that could not be opened has no tables.
            | redb::Error::TableDoesNotExist(_) => false,
            _ => true,
        }
    }
}

/// redb panics on some damaged files.
fn catching<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown");
        Err(failed(redb::Error::Corrupted(text.to_owned())))
    })
}

/// For `map_err`: redb has an error type per kind of call, all of which become one.
fn failed(error: impl Into<redb::Error>) -> IndexError {
    IndexError(Box::new(error.into()))
}

/// Where a chunk is and what is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub pack: PackNumber,
    pub offset: u64,
    pub stored_len: u32,
    pub plain_len: u32,
    /// When it was last put, or a capture was last told that it is here.
    pub touched: Timestamp,
    pub damaged: bool,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&self.pack.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.offset.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.plain_len.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.touched.as_millis().to_le_bytes());
        bytes[28] = u8::from(self.damaged);
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_LEN]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        Self {
            pack: word(0),
            offset: long(4),
            stored_len: word(12),
            plain_len: word(16),
            touched: Timestamp::from_millis(long(20).cast_signed()),
            damaged: bytes[28] != 0,
        }
    }

    /// Bytes that the chunk takes in its pack.
    pub(crate) fn record_len(&self) -> u64 {
        record_len(self.stored_len)
    }

    pub(crate) fn is_at(&self, pack: PackNumber, offset: u64) -> bool {
        self.pack == pack && self.offset == offset
    }
}

/// Whether a commit is flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    Now,
    /// With the next one that is.
    Later,
}

/// The index file. Reading and writing may go on at once; writers wait for each other.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    database: RwLock<Database>,
    /// Something failed: nothing works before it is opened again.
    broken: AtomicBool,
    /// And the file is damaged.
    damaged: AtomicBool,
}

impl Index {
    /// Opens the index, or makes an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        Ok(Self {
            path: path.to_owned(),
            database: RwLock::new(open_database(path)?),
            broken: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn noted<T>(&self, done: Result<T, IndexError>) -> Result<T, IndexError> {
        if let Err(error) = &done {
            self.damaged.fetch_or(error.is_damage(), Ordering::AcqRel);
            self.broken.store(true, Ordering::Release);
        }
        done
    }

    /// Throws away all commits that were not flushed, and with them the state in which redb refuses
    /// to work after a failed write. The caller reads the tails of the packs again.
    pub(crate) fn reopen(&self) -> Result<(), IndexError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // redb allows a file to be open once; the old one must go first.
        *database = redb::Builder::new()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .map_err(failed)?;
        let opened = self.noted(open_database(&self.path))?;
        *database = opened;
        self.damaged.store(false, Ordering::Release);
        self.broken.store(false, Ordering::Release);
        Ok(())
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Reading) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        self.noted(catching(|| {
            let transaction = database.begin_read().map_err(failed)?;
            work(&Reading::new(&transaction)?)
        }))
    }

    /// Runs `work` and commits, or leaves the index as it was when `work` fails.
    pub(crate) fn write<T>(
        &self,
        flush: Flush,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        self.noted(catching(|| write(&database, flush, work)))
    }
}

fn write<T>(
    database: &Database,
    flush: Flush,
    work: impl FnOnce(&mut Writing<'_>) -> Result<T, IndexError>,
) -> Result<T, IndexError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    match flush {
        // Saves what a repair after a crash would otherwise have to find out by walking over
        // everything.
        Flush::Now => transaction.set_quick_repair(true),
        Flush::Later => transaction
            .set_durability(Durability::None)
            .map_err(failed)?,
    }
    let value = {
        let mut writing = Writing::new(&transaction)?;
        let value = work(&mut writing)?;
        writing.save_live_bytes()?;
        value
    };
    transaction.commit().map_err(failed)?;
    Ok(value)
}

fn open_database(path: &Path) -> Result<Database, IndexError> {
    catching(|| open_checked(path))
}

fn open_checked(path: &Path) -> Result<Database, IndexError> {
    let mut database = redb::Builder::new()
        .set_cache_size(CACHE)
        .create(path)
        .map_err(failed)?;
    // Entries that point to wrong places would be found one by one, by those who read them.
    database.check_integrity().map_err(failed)?;
    let transaction: WriteTransaction = database.begin_write().map_err(failed)?;
    transaction.open_table(CHUNKS).map_err(failed)?;
    transaction.open_table(PACKS).map_err(failed)?;
    transaction.open_table(FIGURES).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(database)
}

/// The index as it was at one moment.
pub(crate) struct Reading {
    chunks: ReadOnlyTable<&'static [u8; 32], &'static [u8; ENTRY_LEN]>,
    packs: ReadOnlyTable<PackNumber, u64>,
    figures: ReadOnlyTable<&'static str, u64>,
}

impl Reading {
    fn new(transaction: &ReadTransaction) -> Result<Self, IndexError> {
        Ok(Self {
            chunks: transaction.open_table(CHUNKS).map_err(failed)?,
            packs: transaction.open_table(PACKS).map_err(failed)?,
            figures: transaction.open_table(FIGURES).map_err(failed)?,
        })
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Result<Option<Entry>, IndexError> {
        Ok(self
            .chunks
            .get(id.as_bytes())
            .map_err(failed)?
            .map(|found| Entry::decode(found.value())))
    }

    pub(crate) fn count(&self) -> Result<u64, IndexError> {
        self.chunks.len().map_err(failed)
    }

    pub(crate) fn live_bytes(&self) -> Result<u64, IndexError> {
        Ok(self
            .figures
            .get(LIVE_BYTES)
            .map_err(failed)?
            .map_or(0, |found| found.value()))
    }

    /// Bytes of a pack that the index knows.
    pub(crate) fn known_len(&self, pack: PackNumber) -> Result<u64, IndexError> {
        Ok(self
            .packs
            .get(pack)
            .map_err(failed)?
            .map_or(0, |found| found.value()))
    }

    /// All chunks whose ids begin with this byte.
    pub(crate) fn part(&self, part: u8) -> Result<Vec<(ChunkId, Entry)>, IndexError> {
        let (mut first, mut last) = ([0; 32], [u8::MAX; 32]);
        (first[0], last[0]) = (part, part);
        let range = self.chunks.range::<&[u8; 32]>(&first..=&last);
        range
            .map_err(failed)?
            .map(|found| {
                let (id, entry) = found.map_err(failed)?;
                Ok((
                    ChunkId::from_digest(*id.value()),
                    Entry::decode(entry.value()),
                ))
            })
            .collect()
    }

    /// Up to `limit` chunks in order of their ids, from the first one after `after`.
    pub(crate) fn page(
        &self,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, Entry)>, IndexError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after
            .as_ref()
            .map_or(Unbounded, |id| Excluded(id.as_bytes()));
        let range = self
            .chunks
            .range::<&[u8; 32]>((from, Unbounded))
            .map_err(failed)?;
        range
            .take(limit)
            .map(|found| {
                let (id, entry) = found.map_err(failed)?;
                Ok((
                    ChunkId::from_digest(*id.value()),
                    Entry::decode(entry.value()),
                ))
            })
            .collect()
    }
}

/// A change of the index that is being made.
pub(crate) struct Writing<'a> {
    chunks: redb::Table<'a, &'static [u8; 32], &'static [u8; ENTRY_LEN]>,
    packs: redb::Table<'a, PackNumber, u64>,
    figures: redb::Table<'a, &'static str, u64>,
    live_bytes: u64,
}

impl<'a> Writing<'a> {
    fn new(transaction: &'a WriteTransaction) -> Result<Self, IndexError> {
        let figures = transaction.open_table(FIGURES).map_err(failed)?;
        let live_bytes = figures
            .get(LIVE_BYTES)
            .map_err(failed)?
            .map_or(0, |found| found.value());
        Ok(Self {
            chunks: transaction.open_table(CHUNKS).map_err(failed)?,
            packs: transaction.open_table(PACKS).map_err(failed)?,
            figures,
            live_bytes,
        })
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Result<Option<Entry>, IndexError> {
        Ok(self
            .chunks
            .get(id.as_bytes())
            .map_err(failed)?
            .map(|found| Entry::decode(found.value())))
    }

    pub(crate) fn insert(&mut self, id: &ChunkId, entry: &Entry) -> Result<(), IndexError> {
        let old = self
            .chunks
            .insert(id.as_bytes(), &entry.encode())
            .map_err(failed)?;
        let old_len = old.map_or(0, |old| Entry::decode(old.value()).record_len());
        self.live_bytes = (self.live_bytes + entry.record_len()).saturating_sub(old_len);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: &ChunkId) -> Result<(), IndexError> {
        let old = self.chunks.remove(id.as_bytes()).map_err(failed)?;
        let old_len = old.map_or(0, |old| Entry::decode(old.value()).record_len());
        self.live_bytes = self.live_bytes.saturating_sub(old_len);
        Ok(())
    }

    pub(crate) fn set_known_len(&mut self, pack: PackNumber, len: u64) -> Result<(), IndexError> {
        self.packs.insert(pack, len).map_err(failed)?;
        Ok(())
    }

    pub(crate) fn forget_pack(&mut self, pack: PackNumber) -> Result<(), IndexError> {
        self.packs.remove(pack).map_err(failed)?;
        Ok(())
    }

    fn save_live_bytes(&mut self) -> Result<(), IndexError> {
        self.figures
            .insert(LIVE_BYTES, self.live_bytes)
            .map_err(failed)?;
        Ok(())
    }
}
