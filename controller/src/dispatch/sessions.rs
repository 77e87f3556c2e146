//! Tells agents what has changed about their multicast sessions: hosts that joined or will not come, the rate, the start.

use std::collections::HashMap;

use foghorn_proto::link::MulticastOrder;
use foghorn_types::{StorageNodeId, chain};
use tracing::debug;

use crate::app::{multicast, orders};
use crate::ctx::Ctx;

/// What each agent knows of each session.
#[derive(Default)]
pub(super) struct Told {
    orders: HashMap<(StorageNodeId, u32), MulticastOrder>,
}

impl Told {
    /// An order that is not what the agent was told goes with one of the session's tasks: the last one counts for all.
    pub(super) fn round(&mut self, ctx: &Ctx) {
        let present = ctx.state.read(|tables| multicast::present(tables, &ctx.settings.multicast));
        let before = std::mem::take(&mut self.orders);
        for (node, task, order) in present {
            let key = (node, order.session_id);
            if before.get(&key) != Some(&order) {
                match orders::tell_open(ctx, task, node) {
                    Ok(()) => debug!(%node, session = order.session_id, "told a node about its session"),
                    Err(refused) => {
                        debug!(%node, session = order.session_id, error = %chain(&refused), "an order waits for the node's next link");
                        continue;
                    }
                }
            }
            self.orders.insert(key, order);
        }
    }
}
