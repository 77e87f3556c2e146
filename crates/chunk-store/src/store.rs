//! The store itself: opening, figures, and what its parts share.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use foghorn_types::{ByteCount, Timestamp, chain};
use rustix::fs::{FlockOperation, flock};
use tracing::warn;

use crate::damage::Ledger;
use crate::elsewhere::Beyond;
use crate::group_commit::GroupCommit;
use crate::guard::Guards;
use crate::index::{Flush, Index, IndexError};
use crate::manifests::ManifestDir;
use crate::pack::{PackDir, sync_dir};
use crate::parts::PartDir;
use crate::recovery;
use crate::room::Room;
use crate::writer::Writer;

/// How a store behaves. The defaults suit a storage node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// A pack that has reached this size is closed and a new one begun. Default 256 MiB.
    pub pack_size: ByteCount,
    /// Puts are refused when less than this would stay free on the file system, so that index and
    /// manifests can still be written. Default 64 MiB.
    pub keep_free: ByteCount,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pack_size: ByteCount::from_mib(256),
            keep_free: ByteCount::from_mib(64),
        }
    }
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum OpenStoreError {
    #[error("another process uses the chunk store in {path}", path = path.display())]
    InUse { path: PathBuf },
    #[error("could not open the chunk store in {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("could not open the index of the chunk store")]
    Index(#[from] IndexError),
}

/// What is in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Chunks in the index.
    pub chunks: u64,
    /// Bytes of packs that present chunks take.
    pub stored_bytes: ByteCount,
    /// Bytes of all packs, with what the next sweep would free.
    pub pack_bytes: ByteCount,
}

/// A content-addressed store in one directory. All methods may be called from any number of
/// threads.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    pub(crate) options: Options,
    pub(crate) packs: PackDir,
    pub(crate) index: Index,
    /// Appends to packs. Whoever holds it may also be sure that nobody removes chunks.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) commits: GroupCommit,
    pub(crate) room: Room,
    pub(crate) manifests: ManifestDir,
    pub(crate) parts: PartDir,
    pub(crate) guards: Guards,
    pub(crate) ledger: Ledger,
    pub(crate) beyond: Beyond,
    /// Held while chunks are judged by the manifests that there are: by a sweep, and by whoever
    /// adds or drops one.
    pub(crate) references: Mutex<()>,
    clock: AtomicI64,
    /// Locked as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store in `path`, creating it if there is none, and brings back what a crash left
    /// behind.
    ///
    /// # Errors
    /// When another process has it open, or the file system fails. A lost or damaged index is
    /// rebuilt.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenStoreError> {
        let path = path.as_ref().to_owned();
        let failed = |source| OpenStoreError::Io {
            path: path.clone(),
            source,
        };
        // Whole disks of machines lie here, with everybody's passwords.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => OpenStoreError::InUse { path: path.clone() },
            other => failed(other.into()),
        })?;
        let packs = PackDir::open(path.join("packs")).map_err(failed)?;
        let manifests = ManifestDir::open(&path).map_err(failed)?;
        let parts = PartDir::open(&path).map_err(failed)?;
        let ledger = Ledger::open(&path).map_err(failed)?;
        sync_dir(&path).map_err(failed)?;
        let index = recovery::open_index(&path.join("index.redb"), &packs)?;
        let writer = Writer::open(&packs).map_err(failed)?;
        Ok(Self {
            path: path.clone(),
            options,
            packs,
            index,
            writer: Mutex::new(writer),
            commits: GroupCommit::default(),
            room: Room::default(),
            manifests,
            parts,
            guards: Guards::default(),
            ledger,
            beyond: Beyond::default(),
            references: Mutex::new(()),
            clock: AtomicI64::new(0),
            _lock: lock,
        })
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the index again if it has failed, as after a disk that was full. Cheap when it works.
    ///
    /// # Errors
    /// When it cannot be opened; every use fails until it can.
    pub fn heal(&self) -> Result<(), OpenStoreError> {
        if !self.index.is_broken() {
            return Ok(());
        }
        let _writer = self
            .writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.index.is_broken() {
            recovery::heal(&self.index, &self.packs)?;
        }
        Ok(())
    }

    /// # Errors
    /// When the index or the directory of packs cannot be read.
    pub fn stats(&self) -> Result<Stats, OpenStoreError> {
        let failed = |source| OpenStoreError::Io {
            path: self.packs.path().to_owned(),
            source,
        };
        let (chunks, live) = self
            .index
            .read(|index| Ok((index.count()?, index.live_bytes()?)))?;
        let mut pack_bytes = 0;
        for pack in self.packs.list().map_err(failed)? {
            // A sweep may have removed it in the meantime.
            pack_bytes += self.packs.len_of(pack).unwrap_or(0);
        }
        Ok(Stats {
            chunks,
            stored_bytes: ByteCount::from_bytes(live),
            pack_bytes: ByteCount::from_bytes(pack_bytes),
        })
    }

    /// Time that never goes back while the store is open: a clock that is set back must not make a
    /// chunk that was just put look old.
    pub(crate) fn now(&self) -> Timestamp {
        let now = Timestamp::now().as_millis();
        Timestamp::from_millis(self.clock.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.ledger.save();
        if let Err(error) = self.index.write(Flush::Now, |_| Ok(())) {
            warn!(error = %chain(&error), "the index was not flushed; the next start takes longer");
        }
    }
}
