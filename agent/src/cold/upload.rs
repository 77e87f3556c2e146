//! Into the bucket: chunks that are not there yet, in packs; each pack read there again before it
//! counts; the object of the image last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_image::{ManifestRoot, Numbering};
use foghorn_types::{ChunkId, chain};
use futures_util::{StreamExt, pin_mut, stream};
use tracing::{info, warn};

use super::objects::{
    ChunkRef, HEADER, ImageObject, PACK_SIZE, Pack, PackBuilder, PackRef, Version,
};
use super::{Cold, ColdError, Progress};

/// Packs under way: one is built while another is written or read again.
const PACKS: usize = 2;
/// Attempts at an object that comes back with other bytes.
const ALTERED: usize = 3;
/// Chunks that cannot be read which a message names.
const NAMED: usize = 3;

/// The chunks of an image that are still to be brought to the bucket.
struct Rest {
    ids: std::vec::IntoIter<ChunkId>,
    /// What is not whole on this node, and why.
    lost: Vec<String>,
}

impl Cold {
    /// Brings every image of the node into the bucket that is not whole there, one after the other.
    pub(super) async fn upload_all(self: &Arc<Self>) -> Result<(), ColdError> {
        let due = self
            .blocking(|cold| {
                let known = cold.index.images()?;
                let named = cold.named()?;
                let is_whole =
                    |version: &Version| known.get(version).is_some_and(|known| known.whole);
                cold.state()
                    .progress
                    .retain(|version, _| named.contains(version));
                Ok(named
                    .into_iter()
                    .filter(|version| !is_whole(version))
                    .collect::<Vec<_>>())
            })
            .await?;
        for version in due {
            match self.upload(version).await {
                Ok(()) => {}
                // One image that cannot be read holds up no other.
                Err(ColdError::Manifest(error)) => {
                    let progress = Progress {
                        problem: chain(&error).to_string(),
                        ..Progress::default()
                    };
                    self.state().progress.insert(version, progress);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The versions of images that this node holds.
    pub(super) fn named(&self) -> Result<BTreeSet<Version>, ColdError> {
        let named = self.store.readable_manifests()?.images.into_iter();
        let version = |(image, manifest)| Version { image, manifest };
        Ok(named.map(version).collect())
    }

    async fn upload(self: &Arc<Self>, version: Version) -> Result<(), ColdError> {
        // Nobody takes its chunks away meanwhile.
        let _pin = self.store.pin_manifest(version.manifest);
        let (missing, total) = self
            .blocking(move |cold| {
                let ids = cold.chunks_of(version)?;
                Ok((cold.index.missing(&ids)?, ids.len() as u64))
            })
            .await?;
        let verified = total - missing.len() as u64;
        self.set_progress(version, verified, total);
        if !missing.is_empty() {
            info!(image = %version.image, chunks = missing.len(), "copying an image to the bucket");
        }
        let rest = Rest {
            ids: missing.into_iter(),
            lost: Vec::new(),
        };
        let lost = self.store_packs(version, rest).await?;
        if !lost.is_empty() {
            let named = lost.iter().take(NAMED).cloned().collect::<Vec<_>>();
            let problem = format!(
                "{} chunks are not whole on this node: {}",
                lost.len(),
                named.join("; ")
            );
            let mut state = self.state();
            let progress = state.progress.entry(version).or_default();
            if progress.problem != problem {
                warn!(image = %version.image, error = problem, "an image has no cold copy");
                progress.problem = problem;
            }
            return Ok(());
        }
        self.store_image(version, total).await
    }

    /// The distinct chunks of an image in the order of its disk.
    pub(super) fn chunks_of(&self, version: Version) -> Result<Vec<ChunkId>, ColdError> {
        let root = self.store.manifest_root(version.manifest)?;
        let mut numbering = Numbering::default();
        self.store
            .walk_manifest(version.manifest, &root, |entry| numbering.add(&entry))?;
        Ok(numbering.finish().ids().to_vec())
    }

    fn set_progress(&self, version: Version, verified: u64, total: u64) {
        let mut state = self.state();
        let progress = state.progress.entry(version).or_default();
        (progress.verified, progress.total) = (verified, total);
    }

    /// Returns what could not be read here.
    async fn store_packs(
        self: &Arc<Self>,
        version: Version,
        rest: Rest,
    ) -> Result<Vec<String>, ColdError> {
        let lost = Arc::new(std::sync::Mutex::new(Vec::new()));
        let packs = stream::unfold(rest, |rest| {
            let (cold, lost) = (self.clone(), lost.clone());
            async move {
                let built = cold.blocking(move |cold| Ok(cold.build(rest))).await;
                let (pack, mut rest) = match built {
                    Ok(built) => built,
                    Err(error) => return Some((Err(error), Rest::none())),
                };
                let mut all = lost
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                all.append(&mut rest.lost);
                pack.map(|pack| (Ok(pack), rest))
            }
        });
        let stored = packs
            .map(|pack| async move { self.store_pack(pack?).await })
            .buffered(PACKS);
        pin_mut!(stored);
        while let Some(chunks) = stored.next().await {
            let chunks = chunks?;
            if let Some(progress) = self.state().progress.get_mut(&version) {
                progress.verified += chunks;
            }
        }
        let lost = lost
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(lost.clone())
    }

    /// The next pack; `None` when nothing is left. Every chunk was compared with its id.
    fn build(&self, mut rest: Rest) -> (Option<Pack>, Rest) {
        let mut builder = PackBuilder::default();
        while builder.len() < PACK_SIZE {
            let Some(id) = rest.ids.next() else { break };
            match self.store.read_whole(id) {
                Ok(chunk) => builder.add(id, chunk.plain_len, &chunk.compressed),
                Err(error) => {
                    self.store.note_failed_read(id, &error);
                    rest.lost.push(chain(&error).to_string());
                }
            }
        }
        let pack = (!builder.is_empty()).then(|| builder.finish());
        (pack, rest)
    }

    /// Returns how many chunks it has.
    async fn store_pack(self: &Arc<Self>, pack: Pack) -> Result<u64, ColdError> {
        let (object, len) = (pack.id.object(), pack.bytes.len() as u64);
        foghorn_faults::wait!("agent.cold.before-pack");
        // One that an earlier attempt has brought is only read.
        let mut is_there = self.bucket.size(&object).await? == Some(len);
        for attempt in 0.. {
            if !is_there {
                self.bucket.put(&object, pack.bytes.clone()).await?;
                foghorn_faults::wait!("agent.cold.pack-written");
            }
            if self.bucket.hash(&object).await?.as_bytes() == &pack.id.0 {
                break;
            }
            if attempt >= ALTERED {
                let bucket = self.bucket.name().to_owned();
                return Err(ColdError::Altered { object, bucket });
            }
            is_there = false;
        }
        let chunks = pack.spots.len() as u64;
        self.blocking(move |cold| {
            let known = PackRef {
                id: pack.id,
                len: pack.bytes.len() as u32,
            };
            Ok(cold.index.add_pack(known, &pack.spots)?)
        })
        .await?;
        foghorn_faults::wait!("agent.cold.pack-verified");
        Ok(chunks)
    }

    /// The object that names all of it, read again like the packs.
    async fn store_image(self: &Arc<Self>, version: Version, total: u64) -> Result<(), ColdError> {
        let object = version.object();
        let failed = |source| ColdError::Object {
            object: object.clone(),
            bucket: self.bucket.name().to_owned(),
            source,
        };
        let described = self.blocking(move |cold| cold.describe(version)).await?;
        let Some(described) = described else {
            return Ok(()); // A pack was lost meanwhile: the next round brings it again.
        };
        let bytes = described.encode().map_err(failed)?;
        let expected = blake3::hash(&bytes);
        for attempt in 0.. {
            self.bucket.put(&object, bytes.clone()).await?;
            foghorn_faults::wait!("agent.cold.image-written");
            if self.bucket.hash(&object).await? == expected {
                break;
            }
            if attempt >= ALTERED {
                let bucket = self.bucket.name().to_owned();
                return Err(ColdError::Altered { object, bucket });
            }
        }
        self.blocking(move |cold| Ok(cold.index.set_whole(version, total)?))
            .await?;
        foghorn_faults::wait!("agent.cold.image-verified");
        self.state().progress.remove(&version);
        info!(image = %version.image, chunks = total, "the cold copy of an image is complete, and every chunk was verified in the bucket");
        Ok(())
    }

    /// What the object of the image says; `None` when a chunk is not in the bucket.
    fn describe(&self, version: Version) -> Result<Option<ImageObject>, ColdError> {
        let encoded = self.store.read_manifest(version.manifest)?;
        let failed =
            |error| foghorn_chunk_store::ReadManifestError::Decode(version.manifest, error);
        let root = ManifestRoot::decode(&encoded.clone().into()).map_err(failed)?;
        let mut parts = Vec::new();
        for part in root.parts() {
            parts.push(self.store.read_part(part.id)?.to_vec());
        }
        let (mut packs, mut known, mut chunks) = (Vec::new(), BTreeMap::new(), Vec::new());
        for id in self.chunks_of(version)? {
            let Some(place) = self.index.place(&id)? else {
                return Ok(None);
            };
            let pack = match known.get(&place.pack) {
                Some(pack) => *pack,
                None => {
                    let Some(pack) = self.index.pack(place.pack)? else {
                        return Ok(None);
                    };
                    packs.push(pack);
                    known.insert(place.pack, packs.len() as u32 - 1);
                    packs.len() as u32 - 1
                }
            };
            chunks.push(ChunkRef {
                id: *id.as_bytes(),
                pack,
                spot: place.spot,
            });
        }
        Ok(Some(ImageObject {
            manifest: encoded,
            parts,
            origin: self.store.origin(version.manifest),
            packs,
            chunks,
        }))
    }
}

impl Rest {
    fn none() -> Self {
        Self {
            ids: Vec::new().into_iter(),
            lost: Vec::new(),
        }
    }
}

/// Offsets in a pack fit into 32 bits.
const _: () = assert!(PACK_SIZE + HEADER + (2 << 20) < u32::MAX as usize);
