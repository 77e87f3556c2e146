//! Where each chunk lies in the bucket, and how far each image is: redb. All of it can be made again
//! from the bucket, but for the orders to delete, and those are repeated by the controller.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use foghorn_types::{ChunkId, ImageId, ManifestId, Timestamp};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::objects::{ImageObject, PackId, PackRef, Spot, Version};

const CHUNKS: TableDefinition<'_, &[u8; 32], &[u8; 16]> = TableDefinition::new("chunks");
/// Packs by number: id and length.
const PACKS: TableDefinition<'_, u32, &[u8; 36]> = TableDefinition::new("packs");
const NUMBERS: TableDefinition<'_, &[u8; 32], u32> = TableDefinition::new("numbers");
/// Images: when they became whole in the bucket, their chunks, whether they still are, and whether
/// some of their chunks are only there.
const IMAGES: TableDefinition<'_, &[u8; 36], (u64, u64, bool, bool)> =
    TableDefinition::new("images");
/// Images whose deletion was ordered, and when.
const DROPPED: TableDefinition<'_, &[u8; 36], i64> = TableDefinition::new("dropped");
/// Objects that are to be deleted now.
const DOOMED: TableDefinition<'_, &str, ()> = TableDefinition::new("doomed");
/// The place in which all of this is.
const HOME: TableDefinition<'_, &str, &str> = TableDefinition::new("home");
const PLACE: &str = "place";
/// Much less than the index of the store: it is asked for what is away only.
const CACHE: usize = 8 << 20;

/// The index of the cold copies failed.
#[derive(Debug, thiserror::Error)]
#[error("the index of the cold copies failed")]
pub struct ColdIndexError(#[source] Box<redb::Error>);

fn failed(error: impl Into<redb::Error>) -> ColdIndexError {
    ColdIndexError(Box::new(error.into()))
}

/// A chunk in the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Number of the pack: packs of one image have numbers in its order.
    pub pack: u32,
    pub spot: Spot,
}

/// An image that is, or was, whole in the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub whole: bool,
    /// Smaller ones became whole earlier.
    pub turn: u64,
    pub chunks: u64,
    /// Some of its chunks may be in the bucket only.
    pub away: bool,
}

/// Chunks that stay, by the first 8 bytes of their ids: two that share them are kept if one is
/// needed, which does no harm.
#[derive(Default)]
pub(super) struct Needed {
    prefixes: Vec<u64>,
    /// Length when equal ones were last removed.
    distinct: usize,
}

impl Needed {
    pub(super) fn add(&mut self, id: &ChunkId) {
        self.prefixes.push(prefix(id.as_bytes()));
        if self.prefixes.len() >= (2 * self.distinct).max(1 << 20) {
            self.sort();
        }
    }

    /// To be called before it is asked.
    pub(super) fn sort(&mut self) {
        self.prefixes.sort_unstable();
        self.prefixes.dedup();
        self.distinct = self.prefixes.len();
    }

    fn has(&self, id: &[u8; 32]) -> bool {
        self.prefixes.binary_search(&prefix(id)).is_ok()
    }
}

fn prefix(id: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id[..8]);
    u64::from_be_bytes(first)
}

pub(super) struct Index(Database);

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self, ColdIndexError> {
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .create(path)
            .map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.open_table(CHUNKS).map_err(failed)?;
        write.open_table(PACKS).map_err(failed)?;
        write.open_table(NUMBERS).map_err(failed)?;
        write.open_table(IMAGES).map_err(failed)?;
        write.open_table(DROPPED).map_err(failed)?;
        write.open_table(DOOMED).map_err(failed)?;
        write.open_table(HOME).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(Self(database))
    }

    /// The place that the rest is about; `None` before the first time.
    pub(super) fn home(&self) -> Result<Option<String>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let home = read.open_table(HOME).map_err(failed)?;
        let found = home.get(PLACE).map_err(failed)?;
        Ok(found.map(|found| found.value().to_owned()))
    }

    pub(super) fn set_home(&self, place: &str) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut home = write.open_table(HOME).map_err(failed)?;
            home.insert(PLACE, place).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    pub(super) fn place(&self, id: &ChunkId) -> Result<Option<Place>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let chunks = read.open_table(CHUNKS).map_err(failed)?;
        let found = chunks.get(id.as_bytes()).map_err(failed)?;
        Ok(found.map(|found| decode(found.value())))
    }

    /// Those of the chunks that are not in the bucket, in the order given.
    pub(super) fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let chunks = read.open_table(CHUNKS).map_err(failed)?;
        let mut missing = Vec::new();
        for id in ids {
            if chunks.get(id.as_bytes()).map_err(failed)?.is_none() {
                missing.push(*id);
            }
        }
        Ok(missing)
    }

    pub(super) fn pack(&self, number: u32) -> Result<Option<PackRef>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let packs = read.open_table(PACKS).map_err(failed)?;
        let found = packs.get(number).map_err(failed)?;
        Ok(found.map(|found| pack_ref(found.value())))
    }

    /// Bytes and number of all packs.
    pub(super) fn size(&self) -> Result<(u64, u64), ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let packs = read.open_table(PACKS).map_err(failed)?;
        let mut bytes = 0;
        for pack in packs.iter().map_err(failed)? {
            let (_, pack) = pack.map_err(failed)?;
            bytes += u64::from(pack_ref(pack.value()).len);
        }
        Ok((bytes, packs.len().map_err(failed)?))
    }

    /// A pack that was read in the bucket and is right, with its chunks.
    pub(super) fn add_pack(
        &self,
        pack: PackRef,
        spots: &[(ChunkId, Spot)],
    ) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let number = number_of(&write, pack)?;
            let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
            for (id, spot) in spots {
                let place = encode(number, *spot);
                chunks.insert(id.as_bytes(), &place).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// An image that is whole in the bucket, as its object says.
    pub(super) fn import(
        &self,
        version: Version,
        object: &ImageObject,
    ) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let numbers = object.packs.iter().map(|pack| number_of(&write, *pack));
            let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
            let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
            for chunk in &object.chunks {
                // One that is known already may lie in another pack: either will do.
                let is_known = chunks.get(&chunk.id).map_err(failed)?.is_some();
                if let (false, Some(number)) = (is_known, numbers.get(chunk.pack as usize)) {
                    let place = encode(*number, chunk.spot);
                    chunks.insert(&chunk.id, &place).map_err(failed)?;
                }
            }
            // Nobody knows which of its chunks are here.
            set_whole(&write, version, object.chunks.len() as u64, true)?;
        }
        write.commit().map_err(failed)
    }

    /// The object of the image is in the bucket, and all that it names.
    pub(super) fn set_whole(&self, version: Version, chunks: u64) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        set_whole(&write, version, chunks, false)?;
        write.commit().map_err(failed)
    }

    pub(super) fn set_away(&self, version: Version) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut images = write.open_table(IMAGES).map_err(failed)?;
            let known = images.get(&key(version)).map_err(failed)?;
            let known = known.map(|known| known.value());
            if let Some((turn, chunks, whole, _)) = known {
                images
                    .insert(&key(version), (turn, chunks, whole, true))
                    .map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// The object of the image has to be written again.
    pub(super) fn set_not_whole(&self, version: Version) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut images = write.open_table(IMAGES).map_err(failed)?;
            let known = images.get(&key(version)).map_err(failed)?;
            let known = known.map(|known| known.value());
            if let Some((turn, chunks, _, away)) = known {
                images
                    .insert(&key(version), (turn, chunks, false, away))
                    .map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    pub(super) fn images(&self) -> Result<BTreeMap<Version, Known>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let images = read.open_table(IMAGES).map_err(failed)?;
        let mut all = BTreeMap::new();
        for entry in images.iter().map_err(failed)? {
            let (version, value) = entry.map_err(failed)?;
            let (turn, chunks, whole, away) = value.value();
            if let Some(version) = version_in(version.value()) {
                all.insert(
                    version,
                    Known {
                        whole,
                        turn,
                        chunks,
                        away,
                    },
                );
            }
        }
        Ok(all)
    }

    /// A pack is not in the bucket any more, or not what it was: its chunks are not there. Which
    /// images need them is found out by whoever makes them whole again.
    pub(super) fn lose(&self, number: u32) -> Result<u64, ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        let lost = {
            let mut packs = write.open_table(PACKS).map_err(failed)?;
            let pack = packs.remove(number).map_err(failed)?;
            let id = pack.map(|pack| pack_ref(pack.value()).id);
            let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
            if let Some(id) = id {
                numbers.remove(&id.0).map_err(failed)?;
            }
            let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
            let before = chunks.len().map_err(failed)?;
            chunks
                .retain(|_, place| decode(place).pack != number)
                .map_err(failed)?;
            let lost = before - chunks.len().map_err(failed)?;
            let mut images = write.open_table(IMAGES).map_err(failed)?;
            let mut known = Vec::new();
            for entry in images.iter().map_err(failed)? {
                let (version, value) = entry.map_err(failed)?;
                known.push((*version.value(), value.value()));
            }
            for (version, (turn, chunks, _, away)) in known {
                images
                    .insert(&version, (turn, chunks, false, away))
                    .map_err(failed)?;
            }
            lost
        };
        write.commit().map_err(failed)?;
        Ok(lost)
    }

    /// The deletion of the image was ordered.
    pub(super) fn drop_ordered(
        &self,
        version: Version,
        now: Timestamp,
    ) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut dropped = write.open_table(DROPPED).map_err(failed)?;
            dropped
                .insert(&key(version), now.as_millis())
                .map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// The image is there again.
    pub(super) fn take_back(&self, version: Version) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut dropped = write.open_table(DROPPED).map_err(failed)?;
            dropped.remove(&key(version)).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    pub(super) fn dropped(&self) -> Result<BTreeMap<Version, Timestamp>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let dropped = read.open_table(DROPPED).map_err(failed)?;
        let mut all = BTreeMap::new();
        for entry in dropped.iter().map_err(failed)? {
            let (version, at) = entry.map_err(failed)?;
            if let Some(version) = version_in(version.value()) {
                all.insert(version, Timestamp::from_millis(at.value()));
            }
        }
        Ok(all)
    }

    /// Takes images out, with the packs of which none of the `needed` chunks is in. What is to be
    /// deleted in the bucket for it is remembered until it is.
    pub(super) fn doom(&self, versions: &[Version], needed: &Needed) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut images = write.open_table(IMAGES).map_err(failed)?;
            let mut dropped = write.open_table(DROPPED).map_err(failed)?;
            let mut doomed = write.open_table(DOOMED).map_err(failed)?;
            for version in versions {
                images.remove(&key(*version)).map_err(failed)?;
                dropped.remove(&key(*version)).map_err(failed)?;
                doomed.insert(&*version.object(), ()).map_err(failed)?;
            }
            let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
            let mut live = BTreeSet::new();
            for entry in chunks.iter().map_err(failed)? {
                let (id, place) = entry.map_err(failed)?;
                if needed.has(id.value()) {
                    live.insert(decode(place.value()).pack);
                }
            }
            chunks
                .retain(|_, place| live.contains(&decode(place).pack))
                .map_err(failed)?;
            let mut packs = write.open_table(PACKS).map_err(failed)?;
            let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
            let mut dead = Vec::new();
            for entry in packs.iter().map_err(failed)? {
                let (number, pack) = entry.map_err(failed)?;
                if !live.contains(&number.value()) {
                    dead.push((number.value(), pack_ref(pack.value()).id));
                }
            }
            for (number, id) in dead {
                packs.remove(number).map_err(failed)?;
                numbers.remove(&id.0).map_err(failed)?;
                doomed.insert(&*id.object(), ()).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// Objects that are to be deleted: those of images first, so that none names what is gone.
    pub(super) fn doomed(&self) -> Result<Vec<String>, ColdIndexError> {
        let read = self.0.begin_read().map_err(failed)?;
        let doomed = read.open_table(DOOMED).map_err(failed)?;
        let mut all = Vec::new();
        for entry in doomed.iter().map_err(failed)? {
            all.push(entry.map_err(failed)?.0.value().to_owned());
        }
        Ok(all)
    }

    /// The object is deleted, or is needed again.
    pub(super) fn not_doomed(&self, object: &str) -> Result<(), ColdIndexError> {
        let write = self.0.begin_write().map_err(failed)?;
        {
            let mut doomed = write.open_table(DOOMED).map_err(failed)?;
            doomed.remove(object).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }
}

/// The number of a pack, a new one if it has none.
fn number_of(write: &redb::WriteTransaction, pack: PackRef) -> Result<u32, ColdIndexError> {
    let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
    let known = numbers.get(&pack.id.0).map_err(failed)?;
    if let Some(known) = known.map(|known| known.value()) {
        return Ok(known);
    }
    let mut packs = write.open_table(PACKS).map_err(failed)?;
    let last = packs
        .last()
        .map_err(failed)?
        .map(|(number, _)| number.value());
    let number = last.map_or(0, |last| last + 1);
    let mut value = [0; 36];
    value[..32].copy_from_slice(&pack.id.0);
    value[32..].copy_from_slice(&pack.len.to_le_bytes());
    packs.insert(number, &value).map_err(failed)?;
    numbers.insert(&pack.id.0, number).map_err(failed)?;
    // What was to be deleted is needed again.
    let mut doomed = write.open_table(DOOMED).map_err(failed)?;
    doomed.remove(&*pack.id.object()).map_err(failed)?;
    Ok(number)
}

fn set_whole(
    write: &redb::WriteTransaction,
    version: Version,
    chunks: u64,
    away: bool,
) -> Result<(), ColdIndexError> {
    let mut images = write.open_table(IMAGES).map_err(failed)?;
    let known = images.get(&key(version)).map_err(failed)?;
    let (was_away, mut last) = (known.is_some_and(|known| known.value().3), 0);
    for entry in images.iter().map_err(failed)? {
        last = last.max(entry.map_err(failed)?.1.value().0);
    }
    images
        .insert(&key(version), (last + 1, chunks, true, away || was_away))
        .map_err(failed)?;
    let mut doomed = write.open_table(DOOMED).map_err(failed)?;
    doomed.remove(&*version.object()).map_err(failed)?;
    Ok(())
}

fn key(version: Version) -> [u8; 36] {
    let mut key = [0; 36];
    key[..4].copy_from_slice(&version.image.get().to_be_bytes());
    key[4..].copy_from_slice(version.manifest.as_bytes());
    key
}

fn version_in(key: &[u8; 36]) -> Option<Version> {
    let (image, manifest) = key.split_first_chunk::<4>()?;
    Some(Version {
        image: ImageId::new(u32::from_be_bytes(*image))?,
        manifest: ManifestId::from_digest(manifest.try_into().ok()?),
    })
}

fn pack_ref(value: &[u8; 36]) -> PackRef {
    let (mut id, mut len) = ([0; 32], [0; 4]);
    id.copy_from_slice(&value[..32]);
    len.copy_from_slice(&value[32..]);
    PackRef {
        id: PackId(id),
        len: u32::from_le_bytes(len),
    }
}

fn encode(pack: u32, spot: Spot) -> [u8; 16] {
    let mut value = [0; 16];
    let words = [pack, spot.offset, spot.stored, spot.plain];
    for (to, word) in value.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    value
}

fn decode(value: &[u8; 16]) -> Place {
    let word =
        |at: usize| u32::from_le_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
    Place {
        pack: word(0),
        spot: Spot {
            offset: word(4),
            stored: word(8),
            plain: word(12),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(image: u32) -> Version {
        Version {
            image: ImageId::new(image).unwrap(),
            manifest: ManifestId::of(&image.to_le_bytes()),
        }
    }

    fn pack(name: &[u8]) -> PackRef {
        PackRef {
            id: PackId::of(name),
            len: 100,
        }
    }

    fn spots(names: &[&[u8]]) -> Vec<(ChunkId, Spot)> {
        let spot = |at| Spot {
            offset: at,
            stored: 5,
            plain: 6,
        };
        (0..)
            .zip(names)
            .map(|(at, name)| (ChunkId::of(name), spot(at)))
            .collect()
    }

    fn index() -> (tempfile::TempDir, Index) {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(&folder.path().join("index")).unwrap();
        (folder, index)
    }

    #[test]
    fn only_what_was_verified_is_there_and_a_lost_pack_takes_its_chunks_along() {
        let (folder, index) = index();
        let ids = [ChunkId::of(b"a"), ChunkId::of(b"b"), ChunkId::of(b"c")];
        index.add_pack(pack(b"1"), &spots(&[b"a", b"b"])).unwrap();
        index.add_pack(pack(b"2"), &spots(&[b"c"])).unwrap();
        index.set_whole(version(1), 3).unwrap();
        index.set_away(version(1)).unwrap();
        assert!(index.missing(&ids).unwrap().is_empty());
        drop(index);
        let index = Index::open(&folder.path().join("index")).unwrap();
        let place = index.place(&ids[1]).unwrap().unwrap();
        assert_eq!((place.pack, place.spot.offset), (0, 1));
        assert_eq!(index.pack(0).unwrap(), Some(pack(b"1")));
        assert_eq!(index.size().unwrap(), (200, 2));
        assert_eq!(index.lose(0).unwrap(), 2);
        assert_eq!(index.missing(&ids).unwrap(), ids[..2]);
        assert!(
            index
                .images()
                .unwrap()
                .values()
                .all(|known| !known.whole && known.away)
        );
        // The same pack again, healed.
        index.add_pack(pack(b"1"), &spots(&[b"a", b"b"])).unwrap();
        assert!(index.missing(&ids).unwrap().is_empty());
    }

    #[test]
    fn what_is_deleted_takes_only_packs_that_nothing_needs() {
        let (_folder, index) = index();
        index.add_pack(pack(b"1"), &spots(&[b"a", b"b"])).unwrap();
        index.add_pack(pack(b"2"), &spots(&[b"c"])).unwrap();
        index.set_whole(version(1), 3).unwrap();
        index.set_whole(version(2), 1).unwrap();
        let at = Timestamp::from_millis(9);
        index
            .drop_ordered(version(1), Timestamp::from_millis(5))
            .unwrap();
        index.drop_ordered(version(1), at).unwrap();
        assert_eq!(index.dropped().unwrap(), BTreeMap::from([(version(1), at)]));
        let mut needed = Needed::default();
        needed.add(&ChunkId::of(b"b"));
        needed.sort();
        index.doom(&[version(1)], &needed).unwrap();
        let doomed = index.doomed().unwrap();
        assert_eq!(doomed, [version(1).object(), pack(b"2").id.object()]);
        assert!(index.dropped().unwrap().is_empty());
        assert_eq!(
            index.images().unwrap().keys().copied().collect::<Vec<_>>(),
            [version(2)]
        );
        assert_eq!(index.missing(&[ChunkId::of(b"c")]).unwrap().len(), 1);
        assert!(index.place(&ChunkId::of(b"a")).unwrap().is_some());
        // Needed again before it was deleted.
        index.add_pack(pack(b"2"), &spots(&[b"c"])).unwrap();
        index.set_whole(version(1), 3).unwrap();
        assert!(!index.images().unwrap()[&version(1)].away);
        assert!(index.doomed().unwrap().is_empty());
    }
}
