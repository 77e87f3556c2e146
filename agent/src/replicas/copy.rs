//! The end of a copy that takes: manifest, chunks that are not here, manifest stored; each step
//! durable before the next one, so that whatever interrupts it, the next attempt finds it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foghorn_chunk_store::{CaptureGuard, Store};
use foghorn_image::{ManifestRoot, Numbering};
use foghorn_transport::client::FetchManifestError;
use foghorn_types::{ChunkId, NodeName, PartId, chain};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::error::CopyError;
use super::fetch::Fetcher;
use super::held::Held;
use super::meter::Meter;
use super::order::FetchOrder;
use super::source::{Link, Sources};
use super::{Shared, called};
use crate::origin;

/// Chunks that are looked up, and then fetched, at a time.
const SLICE: usize = 1024;
/// Chunks that nobody can give which a message names.
const NAMED: usize = 3;

/// One copy to this node.
pub(super) struct ImageCopy {
    shared: Arc<Shared>,
    /// As it was when the copy began; only sources change.
    order: FetchOrder,
    guard: Arc<CaptureGuard>,
    meter: Arc<Meter>,
    sources: Sources,
}

/// What is asked of a source beside chunks.
#[derive(Clone, Copy)]
enum Ask {
    Manifest,
    Part(u32, PartId),
}

impl Ask {
    async fn of(self, link: &Link) -> Result<Bytes, FetchManifestError> {
        match self {
            Self::Manifest => link.connection.fetch_manifest().await,
            Self::Part(number, id) => link.connection.fetch_part(number, id).await,
        }
    }
}

impl ImageCopy {
    pub(super) fn new(
        shared: Arc<Shared>,
        orders: watch::Receiver<FetchOrder>,
        meter: Arc<Meter>,
    ) -> Self {
        let order = orders.borrow().clone();
        let guard = Arc::new(shared.disk.store().capture_guard());
        let sources = Sources::new(shared.clone(), orders, meter.clone());
        Self {
            shared,
            order,
            guard,
            meter,
            sources,
        }
    }

    /// Makes the copy and reports on it, once a second and at the end. Gives back why it was not
    /// made.
    pub(super) async fn run(self) -> Option<String> {
        let (outbox, meter) = (self.shared.outbox.clone(), self.meter.clone());
        let changed = self.shared.store_changed.clone();
        let mut ticks = tokio::time::interval(self.shared.progress_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = self.work();
        tokio::pin!(work);
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = ticks.tick() => outbox.replica(meter.report(Instant::now())),
            }
        };
        match &ended {
            Ok(()) => info!("every chunk of the image was verified here"),
            Err(error) => warn!(error = %chain(error), "an image was not copied"),
        }
        let ended = ended.map_err(|error| chain(&error).to_string());
        let why_not = ended.as_ref().err().cloned();
        meter.ended(ended);
        // Before the report: whoever hears that it is done may ask at once what is here.
        changed.notify_one();
        outbox.replica(meter.report(Instant::now()));
        why_not
    }

    async fn work(mut self) -> Result<(), CopyError> {
        let encoded = self.manifest().await?;
        let root = ManifestRoot::decode(&encoded)?;
        let parts = root.parts().iter().map(|part| part.id).collect();
        self.parts(parts).await?;
        let ids = self.chunk_ids(root).await?;
        self.meter.set_total(ids.len() as u64);
        let lacking = self.chunks(&ids).await?;
        if !lacking.is_empty() {
            let named: Vec<&str> = lacking
                .iter()
                .take(NAMED)
                .map(|(_, why)| why.as_str())
                .collect();
            return Err(CopyError::Unavailable {
                missing: lacking.len(),
                total: ids.len(),
                named: named.join("; "),
            });
        }
        foghorn_faults::wait!("agent.replica.chunks-stored");
        self.finish(encoded).await
    }

    /// Makes the chunks be here, each verified here. Gives back those that nobody can give, each
    /// with the reason.
    async fn chunks(&mut self, ids: &[ChunkId]) -> Result<Vec<(ChunkId, String)>, CopyError> {
        let mut lacking = Vec::new();
        // Somebody may be waiting for what is known to be damaged. Where the image is not here yet,
        // nobody does, and what is missing comes in its order.
        let manifest = self.order.manifest;
        let is_here = move |store: &Store| store.read_manifest(manifest).is_ok();
        let mut fetched = HashSet::new();
        if self.shared.disk.run(is_here).await {
            let urgent = self.known_missing(ids).await?;
            fetched.extend(urgent.iter().copied());
            for page in urgent.chunks(SLICE) {
                lacking.extend(self.fetch(page.to_vec()).await?);
            }
        }
        let rest: Vec<ChunkId> = match fetched.is_empty() {
            true => ids.to_vec(),
            false => {
                let rest = ids.iter().filter(|id| !fetched.contains(*id));
                rest.copied().collect()
            }
        };
        let held = Held {
            shared: self.shared.clone(),
            guard: self.guard.clone(),
            meter: self.meter.clone(),
        };
        // What is here is read while what is missing before it comes: neither disk nor network waits
        // for the other.
        let mut slices = rest.chunks(SLICE);
        let mut missing = held.missing(slices.next().unwrap_or_default()).await?;
        loop {
            let next = slices.next();
            let look = held.missing(next.unwrap_or_default());
            let (fetched, looked) = tokio::join!(self.fetch(missing), look);
            lacking.extend(fetched?);
            missing = looked?;
            if next.is_none() {
                return Ok(lacking);
            }
        }
    }

    /// Which of these are not here, or known to be damaged, without looking at the others.
    async fn known_missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, CopyError> {
        let mut missing = Vec::new();
        for page in ids.chunks(SLICE) {
            let (guard, asked) = (self.guard.clone(), page.to_vec());
            let held = self
                .shared
                .disk
                .run(move |_| guard.contains(&asked))
                .await?;
            let lacking = page.iter().zip(held).filter(|(_, is_here)| !is_here);
            missing.extend(lacking.map(|(id, _)| *id));
        }
        Ok(missing)
    }

    /// The encoded manifest: from here if it is here and whole.
    async fn manifest(&mut self) -> Result<Bytes, CopyError> {
        let manifest = self.order.manifest;
        let read = move |store: &Store| store.read_manifest(manifest);
        if let Ok(encoded) = self.shared.disk.run(read).await {
            return Ok(encoded.into());
        }
        self.ask_any(Ask::Manifest).await
    }

    /// The parts of the manifest that are not here.
    async fn parts(&mut self, parts: Vec<PartId>) -> Result<(), CopyError> {
        for (number, id) in parts.into_iter().enumerate() {
            let is_here = move |store: &Store| store.read_part(id).is_ok();
            if self.shared.disk.run(is_here).await {
                continue;
            }
            let number = number as u32;
            let part = self.ask_any(Ask::Part(number, id)).await?;
            let put = move |store: &Store| store.put_part(&part);
            self.shared.disk.run(put).await?;
        }
        Ok(())
    }

    /// Asks one source after the other.
    async fn ask_any(&mut self, ask: Ask) -> Result<Bytes, CopyError> {
        let (mut without, mut problems) = (BTreeSet::new(), Vec::new());
        while let Some(link) = self.sources.link(&without).await {
            match ask.of(&link).await {
                Ok(bytes) => {
                    self.sources.works();
                    self.shared.fetching.take(bytes.len() as u64).await;
                    self.meter.add_bytes(bytes.len() as u64);
                    return Ok(bytes);
                }
                Err(error) if error.is_transient() => {
                    let problem = chain(&error).to_string();
                    self.sources.broke(&problem).await;
                }
                Err(error) => {
                    problems.push(format!("{}: {}", called(&link.node), chain(&error)));
                    without.insert(link.node);
                }
            }
        }
        Err(CopyError::Manifest(problems.join("; ")))
    }

    /// All chunks of the image in the order of the disk, each once.
    async fn chunk_ids(&self, root: ManifestRoot) -> Result<Vec<ChunkId>, CopyError> {
        let manifest = self.order.manifest;
        let list = move |store: &Store| {
            let mut numbering = Numbering::default();
            store.walk_manifest(manifest, &root, |entry| numbering.add(&entry))?;
            Ok(numbering.finish().ids().to_vec())
        };
        self.shared.disk.run(list).await
    }

    /// Fetches chunks from one source after the other. Gives back those that none has, each with
    /// the reason.
    async fn fetch(
        &mut self,
        mut missing: Vec<ChunkId>,
    ) -> Result<Vec<(ChunkId, String)>, CopyError> {
        let fetcher = Fetcher {
            shared: self.shared.clone(),
            guard: self.guard.clone(),
            meter: self.meter.clone(),
        };
        let mut without: BTreeSet<NodeName> = BTreeSet::new();
        let mut reasons: Vec<(ChunkId, String)> = Vec::new();
        while !missing.is_empty() {
            let Some(link) = self.sources.link(&without).await else {
                let none = "no source has it".to_owned();
                reasons.retain(|(id, _)| missing.contains(id));
                let unnamed = missing
                    .iter()
                    .filter(|id| !reasons.iter().any(|(r, _)| r == *id));
                let unnamed: Vec<_> = unnamed
                    .map(|id| (*id, format!("chunk {id}: {none}")))
                    .collect();
                return Ok(reasons.into_iter().chain(unnamed).collect());
            };
            let outcome = fetcher.fetch(&link.connection, &missing).await?;
            missing.retain(|id| !outcome.stored.contains(id));
            if !outcome.stored.is_empty() {
                self.sources.works();
            }
            for (id, why) in outcome.unavailable {
                warn!(chunk = %id, source = %link.node, why, "a source cannot give a chunk");
                reasons.retain(|(known, _)| *known != id);
                reasons.push((id, format!("{}: {why}", called(&link.node))));
            }
            match outcome.broken {
                Some(problem) => self.sources.broke(&problem).await,
                None if !missing.is_empty() => drop(without.insert(link.node)),
                None => {}
            }
        }
        Ok(Vec::new())
    }

    /// Makes the content that of the image, unless it is already: then a version that is kept would
    /// take the place of the present one.
    async fn finish(self, encoded: Bytes) -> Result<(), CopyError> {
        let (order, marks) = (self.order, self.shared.marks.clone());
        let store = move |store: &Store| {
            let images = store.readable_manifests()?.images;
            let is_named = images.contains(&(order.image, order.manifest));
            if !is_named || store.read_manifest(order.manifest).is_err() {
                store.put_manifest(order.image, &encoded)?;
            }
            if store.origin(order.manifest).is_none() {
                origin::copied(store, order.manifest, &order.what);
            }
            // Every chunk of it was read here, or came and was verified.
            marks.verified(order.manifest);
            Ok::<_, CopyError>(())
        };
        let stored = self.shared.disk.run(store).await;
        foghorn_faults::wait!("agent.replica.image-stored");
        drop(self.guard);
        stored
    }
}
