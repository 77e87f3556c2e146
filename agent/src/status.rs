//! The status that the node reports every few seconds.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foghorn_chunk_store::{PARTS, Space, Store};
use foghorn_proto::link::{NodeStatus, StoreCheck, UnverifiedContent};
use foghorn_types::{ByteCount, Timestamp, chain};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::address::Advertised;
use crate::cold::Cold;
use crate::config::Upkeep;
use crate::identity::NodeIdentity;
use crate::jobs::patrol;
use crate::marks::Marks;
use crate::outbox::Outbox;
use crate::sessions::Sessions;
use crate::{damage, origin};

/// Gathers the figures and leaves them in the outbox, until cancelled.
pub(crate) struct StatusReporter {
    pub advertised: Advertised,
    pub identity: watch::Receiver<Arc<NodeIdentity>>,
    pub store: Arc<Store>,
    pub cold: Option<Arc<Cold>>,
    pub sessions: Arc<Sessions>,
    pub outbox: Arc<Outbox>,
    /// Asks for a report now.
    pub wake: Arc<Notify>,
    pub every: Duration,
    pub keep_free: foghorn_types::ByteCount,
    pub marks: Arc<Marks>,
    pub upkeep: Upkeep,
}

impl StatusReporter {
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut was_low = false;
        loop {
            if let Some(status) = self.gather().await {
                was_low = self.watch_space(&status, was_low);
                self.outbox.status(status);
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.wake.notified() => {}
                () = cancel.cancelled() => return,
            }
        }
    }

    async fn gather(&self) -> Option<NodeStatus> {
        let (store, keep_free) = (self.store.clone(), self.keep_free);
        let cold = self.cold.clone();
        let advertised = self.advertised.clone();
        let gather = move || {
            let cold = cold.map(|cold| cold.status());
            (from_store(&store, keep_free), cold, advertised.now())
        };
        let gathered = tokio::task::spawn_blocking(gather).await.ok()?;
        let (gathered, cold, quic_addresses) = gathered;
        match gathered {
            Ok(status) => Some(NodeStatus {
                unverified: self.unverified(&status),
                check: Some(self.check()),
                active_transfers: self.sessions.active_transfers(),
                quic_addresses,
                cold,
                certificate_ends_ms: self.identity.borrow().expires.as_millis(),
                ..status
            }),
            Err(problem) => {
                warn!(error = %chain(problem.as_ref()), "could not gather the status of this node");
                None
            }
        }
    }

    /// What does not count as a copy, of what is here.
    fn unverified(&self, status: &NodeStatus) -> Vec<UnverifiedContent> {
        let held: HashSet<&[u8]> = status
            .manifests
            .iter()
            .map(|stored| &stored.manifest_id[..])
            .collect();
        let listed = self
            .marks
            .unverified(|id| held.contains(&id.as_bytes()[..]));
        let listed = listed.into_iter().map(|one| UnverifiedContent {
            manifest_id: one.manifest.as_bytes().to_vec(),
            chunks_verified: one.verified,
            chunks_total: one.total,
            reason: one.reason,
        });
        listed.collect()
    }

    fn check(&self) -> StoreCheck {
        let round = self.marks.round();
        let (last_ended_unix_ms, damaged) = round.last();
        StoreCheck {
            running: round.is_under_way(),
            parts_done: round.parts_done() as u32,
            parts_total: PARTS as u32,
            last_ended_unix_ms,
            damaged,
            waits_for: patrol::waits_for(&self.marks, &self.upkeep, Timestamp::now()).to_owned(),
        }
    }

    /// Warns once each time the disk runs low. Returns whether it is.
    fn watch_space(&self, status: &NodeStatus, was_low: bool) -> bool {
        // Four times what captures leave alone: somebody should have time to act.
        let low = status.disk_free_bytes < self.keep_free.bytes().saturating_mul(4);
        if low && !was_low {
            let free = foghorn_types::ByteCount::from_bytes(status.disk_free_bytes);
            warn!(
                %free,
                "the disk that holds the chunks is nearly full; captures will soon be refused"
            );
        }
        low
    }
}

/// Nothing can be swept before somebody has looked at it: what it named may be needed.
fn damaged_entry(path: &Path, count: usize) -> String {
    format!(
        "{path} is damaged and names no manifest any more ({count} of such files): capture its image again, then move the file away; until then nothing is swept on this node",
        path = path.display()
    )
}

fn from_store(
    store: &Store,
    keep_free: ByteCount,
) -> Result<NodeStatus, Box<dyn std::error::Error + Send + Sync>> {
    let healed = store.heal();
    let space = Space::of(store.path())?;
    let problem = healed
        .err()
        .map(|error| chain(&error).to_string())
        .or_else(|| crate::space::problem(&space, store.path(), keep_free));
    // What the index says is not known while it does not work.
    let stats = store.stats().unwrap_or_else(|problem| {
        warn!(error = %chain(&problem), "could not read the index of the chunk store");
        foghorn_chunk_store::Stats::default()
    });
    let found = store.readable_manifests()?;
    let damaged = found.damaged.first();
    let problem = problem.or_else(|| damaged.map(|path| damaged_entry(path, found.damaged.len())));
    Ok(NodeStatus {
        disk_total_bytes: space.total.bytes(),
        disk_free_bytes: space.free.bytes(),
        keep_free_bytes: keep_free.bytes(),
        chunks_path: store.path().display().to_string(),
        problem: problem.unwrap_or_default(),
        stored_bytes: stats.stored_bytes.bytes(),
        chunks: stats.chunks,
        manifests: found
            .images
            .into_iter()
            .map(|(image, manifest)| origin::stored(store, image, manifest))
            .collect(),
        active_transfers: 0,
        quic_addresses: Vec::new(),
        cold: None,
        certificate_ends_ms: 0,
        unverified: Vec::new(),
        check: None,
        damaged: damage::contents(store).unwrap_or_else(|problem| {
            warn!(error = %chain(problem.as_ref()), "could not find out what damage affects");
            Vec::new()
        }),
        files: store
            .files()?
            .into_iter()
            .map(|file| file.as_bytes().to_vec())
            .collect(),
    })
}
