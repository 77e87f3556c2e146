//! Packs of the bucket on the disk of the node: read through here, as many as fit.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use foghorn_types::chain;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};
use tracing::{debug, warn};

use super::bucket::{Bucket, BucketError};
use super::lru::Lru;
use super::objects::{HEADER, PackId, PackRef, Spot};

/// Downloads at a time.
const DOWNLOADS: usize = 4;
/// Attempts at a pack that comes, but with other bytes.
const WRONG: usize = 3;
/// Should a wake-up be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Packs {
    folder: PathBuf,
    lru: Mutex<Lru<PackId>>,
    /// Downloads under way: whoever wants the same pack waits for it.
    flights: Mutex<HashMap<PackId, Weak<AsyncMutex<()>>>>,
    /// Each holds a pack in memory.
    downloads: Semaphore,
    /// Something is no longer in use.
    freed: Notify,
}

/// A pack cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadPackError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("{object} in {bucket} is not what was written there")]
    Wrong { object: String, bucket: String },
    #[error("could not use the cache in {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A pack that stays as long as this.
struct Pinned<'a> {
    packs: &'a Packs,
    id: PackId,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.packs.lru().unpin(&self.id);
        self.packs.freed.notify_waiters();
    }
}

/// Room that goes back when nothing comes into it.
struct Room<'a> {
    packs: &'a Packs,
    len: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.packs.lru().give_back(self.len);
        self.packs.freed.notify_waiters();
    }
}

impl Packs {
    /// Takes over what an earlier process has left.
    pub(super) fn open(folder: PathBuf, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, meta) = (entry.path(), entry.metadata()?);
            match entry.file_name().to_str().and_then(PackId::from_hex) {
                Some(id) => found.push((meta.modified()?, id, meta.len())),
                // Half a download.
                None => fs::remove_file(path)?,
            }
        }
        found.sort_unstable();
        let mut lru = Lru::new(limit);
        for (_, id, len) in found {
            lru.add_found(id, len);
        }
        let packs = Self {
            folder,
            lru: Mutex::new(lru),
            flights: Mutex::default(),
            downloads: Semaphore::new(DOWNLOADS),
            freed: Notify::new(),
        };
        let victims = packs.lru().set_limit(limit);
        victims.iter().for_each(|id| packs.delete(id));
        Ok(packs)
    }

    fn lru(&self) -> MutexGuard<'_, Lru<PackId>> {
        // Its numbers are right between any two statements here.
        self.lru.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of packs, and how many there may be.
    pub(super) fn size(&self) -> (u64, u64) {
        let lru = self.lru();
        (lru.used(), lru.limit())
    }

    fn path(&self, id: &PackId) -> PathBuf {
        self.folder.join(id.hex())
    }

    fn delete(&self, id: &PackId) {
        debug!(pack = %id.hex(), "left the cache");
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(error = %chain(&error), "could not remove a file of the cache");
            }
            _ => {}
        }
    }

    /// Throws a pack away whose bytes on this disk are damaged.
    pub(super) fn forget(&self, id: &PackId) {
        let mut lru = self.lru();
        lru.remove(id);
        self.delete(id);
    }

    /// A record of a pack, through the cache. Not checked: the pack was when it came.
    pub(super) async fn read(
        &self,
        bucket: &Bucket,
        pack: PackRef,
        spot: Spot,
    ) -> Result<Bytes, ReadPackError> {
        let _pinned = self.pinned(bucket, pack).await?;
        let path = self.path(&pack.id);
        let len = HEADER + spot.stored as usize;
        let at = path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let file = File::open(&at)?;
            // For the next process, which knows of no other order of uses.
            let _ = file.set_modified(SystemTime::now());
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, u64::from(spot.offset))?;
            Ok(Bytes::from(bytes))
        });
        let read = read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|source| ReadPackError::Io { path, source })
    }

    /// Brings a pack into the cache.
    pub(super) async fn bring(&self, bucket: &Bucket, pack: PackRef) -> Result<(), ReadPackError> {
        self.pinned(bucket, pack).await.map(drop)
    }

    async fn pinned(&self, bucket: &Bucket, pack: PackRef) -> Result<Pinned<'_>, ReadPackError> {
        let pinned = || Pinned {
            packs: self,
            id: pack.id,
        };
        if self.lru().pin(&pack.id) {
            return Ok(pinned());
        }
        let flight = self.flight(pack.id);
        let _flying = flight.lock().await;
        if self.lru().pin(&pack.id) {
            return Ok(pinned());
        }
        let _turn = self.downloads.acquire().await;
        let bytes = fetch(bucket, pack).await?;
        let len = u64::from(pack.len);
        self.room_for(len).await;
        let room = Room { packs: self, len };
        self.keep(pack.id, bytes).await?;
        self.lru().add_pinned(pack.id, len);
        std::mem::forget(room);
        Ok(pinned())
    }

    async fn keep(&self, id: PackId, bytes: Bytes) -> Result<(), ReadPackError> {
        let (path, new) = (
            self.path(&id),
            self.folder.join(format!("{}.part", id.hex())),
        );
        let to = path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = File::create(&new)?;
            let written = file.write_all(&bytes).and_then(|()| fs::rename(&new, &to));
            written.inspect_err(|_| drop(fs::remove_file(&new)))
        });
        let written = written
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|source| ReadPackError::Io { path, source })
    }

    fn flight(&self, id: PackId) -> Arc<AsyncMutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = flights.get(&id).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::default();
        flights.insert(id, Arc::downgrade(&flight));
        flight
    }

    /// Waits until there is room: what is in use stays, and nobody uses a pack for longer than it
    /// takes to read a record.
    async fn room_for(&self, size: u64) {
        loop {
            let freed = self.freed.notified();
            {
                let mut lru = self.lru();
                if let Ok(victims) = lru.make_room(size) {
                    victims.iter().for_each(|id| self.delete(id));
                    return;
                }
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, freed).await;
        }
    }
}

/// Downloads a pack. It has the bytes that its name says.
async fn fetch(bucket: &Bucket, pack: PackRef) -> Result<Bytes, ReadPackError> {
    let object = pack.id.object();
    for _ in 0..WRONG {
        let bytes = bucket.get(&object).await?;
        if PackId::of(&bytes) == pack.id {
            return Ok(bytes);
        }
        warn!(
            object,
            len = bytes.len(),
            "a pack came with other bytes than were written"
        );
    }
    Err(ReadPackError::Wrong {
        object,
        bucket: bucket.name().to_owned(),
    })
}
