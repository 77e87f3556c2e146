//! Nodes of controllers that live and are not heard, by what their records in the store say. Without
//! it, two controllers that do not reach each other would disagree about a node that only one of
//! them has a link to: one would give it tasks, and the other one would take them away.

use std::collections::HashSet;

use foghorn_types::StorageNodeId;
use tracing::info;

use super::Other;
use crate::awake;
use crate::ctx::Ctx;
use crate::state::controller_record::ControllerRecord;

/// Beats after which a record was surely made later than the last word that was heard.
const LATER: u32 = 2;

/// The nodes that such controllers named last.
#[derive(Default)]
pub(super) struct Named(HashSet<StorageNodeId>);

impl Named {
    /// Takes what the records say now of nodes of controllers that live and are not heard.
    pub(super) fn follow(&mut self, ctx: &Ctx, named: HashSet<StorageNodeId>) {
        let now = awake::now();
        for node in &named {
            ctx.live.set_elsewhere(*node, true, now);
        }
        for node in self.0.difference(&named) {
            ctx.live.set_elsewhere(*node, false, now);
        }
        self.0 = named;
    }
}

/// What was heard last of a controller's nodes is old: some may have left it since.
pub(super) fn forget_unnamed(ctx: &Ctx, other: &Other, record: &ControllerRecord) {
    let Some(nodes) = record.nodes.as_ref().filter(|_| other.unheard >= LATER) else {
        return;
    };
    for node in ctx.links.at(&record.id) {
        if !nodes.contains(&node) && ctx.links.left(node, &record.id) {
            info!(%node, controller = record.id, "the storage node has left a controller that is not heard");
            ctx.live.set_down(node, awake::now());
        }
    }
}
