//! Lost nodes: each active task of a lost node gets one `nodefailure` row each time the node is
//! lost.

use std::collections::HashSet;
use std::time::Duration;

use foghorn_types::{StorageNodeId, TaskId, Timestamp, chain};
use tracing::warn;

use super::snapshot::{LinkState, Snapshot};
use crate::app::{history, task_outcome};
use crate::background::Report;
use crate::ctx::Ctx;

/// What has been recorded, until the node is online again.
#[derive(Default)]
pub(super) struct Losses {
    recorded: HashSet<(StorageNodeId, TaskId)>,
    /// Nodes whose loss is in the history.
    told: HashSet<StorageNodeId>,
}

impl Losses {
    /// Writes to the history which nodes were lost, and which of those are online again. A node
    /// that has never connected, or is revoked, does not count as lost.
    async fn tell(
        &mut self,
        ctx: &Ctx,
        snapshot: &Snapshot,
        lost: impl Fn(StorageNodeId) -> bool,
        report: &mut Report,
    ) {
        let known = ctx.live.nodes();
        self.told.retain(|node| snapshot.nodes.contains_key(node));
        for (&node, view) in &snapshot.nodes {
            let gone = lost(node) && known.contains_key(&node) && !view.revoked;
            if gone == self.told.contains(&node) || (!gone && view.link != LinkState::Up) {
                continue;
            }
            match history::node(&ctx.state, node, !gone, Timestamp::now()).await {
                Ok(()) if gone => drop(self.told.insert(node)),
                Ok(()) => drop(self.told.remove(&node)),
                Err(error) => {
                    warn!(%node, error = %chain(&error), "could not write to the history");
                    report.failed("could not write to the history", &error);
                }
            }
        }
    }

    pub(super) async fn record(
        &mut self,
        ctx: &Ctx,
        snapshot: &Snapshot,
        grace: Duration,
        report: &mut Report,
    ) {
        let lost = |node| match snapshot.nodes.get(&node).map(|view| view.link) {
            Some(LinkState::Down { since }) => since >= grace,
            Some(LinkState::Up | LinkState::Elsewhere) | None => false,
        };
        self.tell(ctx, snapshot, lost, report).await;
        self.recorded.retain(|(node, _)| lost(*node));
        for run in &snapshot.runs {
            let Some(node) = run.life.state().node().filter(|node| lost(*node)) else {
                continue;
            };
            if self.recorded.contains(&(node, run.task)) {
                continue;
            }
            warn!(%node, task = %run.task, "the storage node of a task stopped answering");
            foghorn_faults::wait!("controller.node-failure.before");
            match task_outcome::record_node_failure(&ctx.state, run.task, node, Timestamp::now())
                .await
            {
                Ok(()) => {
                    self.recorded.insert((node, run.task));
                    report.did("node failures recorded", 1);
                }
                Err(error) => {
                    warn!(
                        %node,
                        task = %run.task,
                        error = %chain(&error),
                        "could not store a node failure"
                    );
                    report.failed("could not store a node failure", &error);
                }
            }
        }
    }
}
