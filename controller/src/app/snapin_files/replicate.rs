//! Copies snapin files to every node that must hold them, and deletes files whose snapin was deleted
//! or has another file.
//!
//! It reconciles, like the dispatcher: the desired state (records, storage groups) with the actual
//! state (reports of nodes), when either changes and every few seconds. It acts only on nodes that
//! are connected to this controller.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{FileId, StorageNodeId, chain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{nodes_of, open};
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::Tables;
use crate::state::classes::Snapin;
use crate::state::removal::Stored;
use crate::state::snapin_file::SnapinFile;
use crate::state::value::Flag;

/// Period of the rounds, because reports of nodes cause no notification.
const TICK: Duration = Duration::from_secs(5);
/// Delay before a failed copy is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// A node that has not reported a file for this long does not hold it. Longer than the time between
/// reports.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// One copy to make.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Copy {
    to: StorageNodeId,
    record: Arc<SnapinFile>,
}

type Place = (StorageNodeId, FileId);

struct Replication {
    ctx: Arc<Ctx>,
    /// How long an unused file stays on its nodes.
    grace: Duration,
    retry: HashMap<Place, Instant>,
    missing: HashMap<Place, Instant>,
    unnamed: HashMap<Place, Instant>,
}

/// Runs until `cancel`.
pub async fn run(ctx: Arc<Ctx>, grace: Duration, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "snapin-files",
        period: TICK,
        wakes: vec![
            ("tables", ctx.state.changed()),
            ("links", ctx.live.changed()),
        ],
    };
    let background = ctx.background.clone();
    let (retry, missing, unnamed) = (HashMap::new(), HashMap::new(), HashMap::new());
    background
        .drive(
            rhythm,
            Replication {
                ctx,
                grace,
                retry,
                missing,
                unnamed,
            },
            cancel,
        )
        .await;
}

impl Work for Replication {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let now = Instant::now();
        let online: HashSet<_> = self.ctx.links.online().into_iter().collect();
        self.forget_lost(&online, now).await;
        let copies = self.ctx.state.read(|tables| plan(tables, &online));
        self.retry.retain(|_, at| *at > now);
        for copy in copies {
            let place = (copy.to, copy.record.file);
            if !self.retry.contains_key(&place) && !self.make(&copy, report).await {
                self.retry.insert(place, Instant::now() + RETRY);
            }
        }
        self.drop_unnamed(&online, now);
    }
}

impl Replication {
    /// Makes a copy and records it. Returns whether this succeeded.
    async fn make(&self, copy: &Copy, report: &mut Report) -> bool {
        let (record, node) = (&copy.record, copy.to);
        let parts = match open(&self.ctx, record).await {
            Ok(parts) => parts,
            Err(error) => {
                warn!(
                    snapin = %record.snapin,
                    %node,
                    error = %chain(&error),
                    "no source for a copy of a snapin file"
                );
                report.failed("no source for a copy of a snapin file", &error);
                return false;
            }
        };
        let files = &self.ctx.files;
        if let Err(error) = files
            .store(&self.ctx.links, node, record.file, record.size, parts)
            .await
        {
            warn!(
                snapin = %record.snapin,
                %node,
                error = %chain(&error),
                "could not copy a snapin file"
            );
            report.failed("could not copy a snapin file", &error);
            return false;
        }
        self.change_nodes(record, |nodes| nodes.push(node)).await;
        info!(snapin = %record.snapin, %node, size = %record.size, "snapin file copied");
        report.did("files copied", 1);
        true
    }

    /// Changes the holders of a file, unless the snapin has another file by now.
    async fn change_nodes(&self, record: &SnapinFile, change: impl Fn(&mut Vec<StorageNodeId>)) {
        let written = self.ctx.state.write::<_, Refusal>(|draft| {
            let Some(current) = draft.tables().snapin_files().get(&record.snapin) else {
                return Ok(());
            };
            if current.file != record.file {
                return Ok(());
            }
            let mut next = SnapinFile::clone(current);
            change(&mut next.nodes);
            next.nodes.sort_unstable();
            next.nodes.dedup();
            if next.nodes != current.nodes {
                draft.replace(&next);
            }
            Ok(())
        });
        if let Err(error) = written.await {
            // The next round finds the same difference.
            warn!(
                snapin = %record.snapin,
                error = %chain(&error),
                "could not store which nodes hold a snapin file"
            );
        }
    }

    /// Removes holders that no longer report the file, because their store was lost or replaced.
    async fn forget_lost(&mut self, online: &HashSet<StorageNodeId>, now: Instant) {
        let records: Vec<_> = self
            .ctx
            .state
            .read(|tables| tables.snapin_files().iter().cloned().collect());
        let live = self.ctx.live.nodes();
        let mut still = HashMap::new();
        for record in records {
            for node in record.nodes.iter().filter(|node| online.contains(node)) {
                let place = (*node, record.file);
                if live
                    .get(node)
                    .is_none_or(|live| live.files.contains(&record.file))
                {
                    continue;
                }
                let since = *self.missing.get(&place).unwrap_or(&now);
                if now.duration_since(since) < MISSING_FOR {
                    still.insert(place, since);
                    continue;
                }
                warn!(snapin = %record.snapin, %node, "a storage node has lost a snapin file");
                self.change_nodes(&record, |nodes| nodes.retain(|holder| holder != node))
                    .await;
            }
        }
        self.missing = still;
    }

    /// Deletes files from nodes that belonged to a deleted or changed snapin, and to which no snapin
    /// has referred for the grace period.
    fn drop_unnamed(&mut self, online: &HashSet<StorageNodeId>, now: Instant) {
        let removed: HashSet<FileId> = self.ctx.state.read(|tables| {
            let named: HashSet<FileId> = tables
                .snapin_files()
                .iter()
                .map(|record| record.file)
                .collect();
            let removals = tables.removals().iter();
            removals
                .filter_map(|removal| match removal.what {
                    Stored::File(file) if !named.contains(&file) => Some(file),
                    _ => None,
                })
                .collect()
        });
        let mut still = HashMap::new();
        for (node, live) in self
            .ctx
            .live
            .nodes()
            .into_iter()
            .filter(|(node, _)| online.contains(node))
        {
            for file in live.files.intersection(&removed) {
                let since = *self.unnamed.get(&(node, *file)).unwrap_or(&now);
                still.insert((node, *file), since);
                if now.duration_since(since) < self.grace {
                    continue;
                }
                match self.ctx.files.forget(&self.ctx.links, node, *file) {
                    // The order is repeated until the node no longer reports the file.
                    Ok(()) => {
                        info!(
                            %node,
                            %file,
                            "ordered a storage node to delete an unused snapin file"
                        )
                    }
                    Err(error) => {
                        warn!(
                            %node,
                            error = %chain(&error),
                            "could not delete a snapin file from a storage node"
                        )
                    }
                }
                still.insert((node, *file), now);
            }
        }
        self.unnamed = still;
    }
}

/// The missing copies: to connected nodes, of files that a connected node holds.
/// Nodes that should hold a file and do not, connected or not.
#[must_use]
pub fn missing(tables: &Tables, record: &SnapinFile) -> Vec<StorageNodeId> {
    let stays = tables
        .of::<Snapin>()
        .get(record.snapin.get())
        .is_none_or(|row| row.to_replicate == Flag::No);
    if stays {
        return Vec::new();
    }
    let wanted = nodes_of(tables, record.snapin).into_iter();
    wanted.filter(|node| !record.nodes.contains(node)).collect()
}

fn plan(tables: &Tables, online: &HashSet<StorageNodeId>) -> Vec<Copy> {
    let mut copies = Vec::new();
    for record in tables.snapin_files().iter() {
        if !record.nodes.iter().any(|node| online.contains(node)) {
            continue;
        }
        let missing = missing(tables, record).into_iter();
        let missing = missing.filter(|node| online.contains(node));
        copies.extend(missing.map(|to| Copy {
            to,
            record: record.clone(),
        }));
    }
    copies
}
