//! Nodes that are gone: each active task of a lost node gets one `nodefailure` row for each time the node goes.

use std::collections::HashSet;
use std::time::Duration;

use foghorn_types::{StorageNodeId, TaskId, Timestamp};
use tracing::warn;

use super::snapshot::{Link, Snapshot};
use crate::api::Ctx;
use crate::app::task_outcome;

/// What has been recorded, until the node is back.
#[derive(Default)]
pub(super) struct Losses {
    recorded: HashSet<(StorageNodeId, TaskId)>,
}

impl Losses {
    pub(super) async fn record(&mut self, ctx: &Ctx, snapshot: &Snapshot, grace: Duration) {
        let lost = |node| match snapshot.nodes.get(&node).map(|view| view.link) {
            Some(Link::Down { since }) => since >= grace,
            Some(Link::Up) | None => false,
        };
        self.recorded.retain(|(node, _)| lost(*node));
        for run in &snapshot.runs {
            let Some(node) = run.life.state().node().filter(|node| lost(*node)) else { continue };
            if self.recorded.contains(&(node, run.task)) {
                continue;
            }
            warn!(%node, task = %run.task, "the storage node of a task stopped answering");
            match task_outcome::record_node_failure(&ctx.state, run.task, node, Timestamp::now()).await {
                Ok(()) => {
                    self.recorded.insert((node, run.task));
                }
                Err(error) => {
                    warn!(%node, task = %run.task, error = &error as &dyn std::error::Error, "could not record a node failure")
                }
            }
        }
    }
}
