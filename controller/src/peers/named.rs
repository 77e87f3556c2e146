//! Nodes of controllers that live and are not heard, by what their records in the store say. Without
//! it, two controllers that do not reach each other would disagree about a node that only one of
//! them has a link to: one would give it tasks, and the other one would take them away.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use foghorn_types::StorageNodeId;
use tracing::info;

use super::{DEAD_AFTER, Other};
use crate::awake;
use crate::ctx::Ctx;
use crate::state::controller_record::{ControllerRecord, LinkedNode};

/// Beats after which a record was surely made later than the last word that was heard.
const LATER: u32 = 2;

#[derive(Default)]
pub(super) struct Named {
    /// The nodes that such controllers named last.
    nodes: HashSet<StorageNodeId>,
    /// Nodes that have moved to a controller which nobody names, and since when that is so.
    moved: HashMap<StorageNodeId, Instant>,
}

impl Named {
    /// Takes what the records say now of nodes of controllers that live and are not heard.
    pub(super) fn follow(&mut self, ctx: &Ctx, named: Vec<LinkedNode>) {
        let now = awake::now();
        for node in &named {
            ctx.live.set_elsewhere(node.id, Some(&node.addresses), now);
        }
        let named: HashSet<_> = named.into_iter().map(|node| node.id).collect();
        for node in self.nodes.difference(&named) {
            ctx.live.set_elsewhere(*node, None, now);
        }
        self.nodes = named;
        self.let_go(ctx, now);
    }

    /// A controller has said that a node has left it for another one, and no other one says that it
    /// has it: after a while it is taken at its word, and the records decide.
    fn let_go(&mut self, ctx: &Ctx, now: Instant) {
        let moved = ctx.links.moved();
        self.moved.retain(|node, _| moved.contains(node));
        for node in moved {
            let since = *self.moved.entry(node).or_insert(now);
            if awake::since(since) >= DEAD_AFTER {
                ctx.links.end_moved(node, || ctx.live.set_down(node, now));
            }
        }
    }
}

/// What was heard last of a controller's nodes is old: some may have left it since.
pub(super) fn forget_unnamed(ctx: &Ctx, other: &Other, record: &ControllerRecord) {
    let Some(nodes) = record.nodes.as_ref().filter(|_| other.unheard >= LATER) else {
        return;
    };
    for node in ctx.links.at(&record.id) {
        if nodes.iter().any(|named| named.id == node) {
            continue;
        }
        let gone = || ctx.live.set_down(node, awake::now());
        if ctx.links.left_unheard(node, &record.id, gone) {
            info!(%node, controller = record.id, "the storage node has left a controller that is not heard");
        }
    }
}
