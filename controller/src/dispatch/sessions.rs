//! Informs agents of changes to their multicast sessions: hosts that joined or left, the rate, the
//! start.

use std::collections::HashMap;

use foghorn_proto::link::MulticastOrder;
use foghorn_types::{SessionId, StorageNodeId, chain};
use tracing::debug;

use crate::app::multicast::Present;
use crate::app::{multicast, orders};
use crate::ctx::Ctx;

/// The last order for each session that was sent to each agent.
#[derive(Default)]
pub(super) struct Told {
    orders: HashMap<(StorageNodeId, SessionId), MulticastOrder>,
}

impl Told {
    /// A changed order is sent with one of the session's tasks: the last order applies to all of
    /// them.
    pub(super) fn round(&mut self, ctx: &Ctx) {
        let present = ctx
            .state
            .read(|tables| multicast::present(tables, &ctx.settings.multicast));
        let before = std::mem::take(&mut self.orders);
        for Present {
            node,
            session,
            task,
            order,
        } in present
        {
            let key = (node, session);
            if before.get(&key) != Some(&order) {
                match orders::tell_open(ctx, task, node) {
                    Ok(()) => {
                        debug!(
                            %node,
                            %session,
                            "sent a node its multicast session"
                        )
                    }
                    Err(refused) => {
                        debug!(
                            %node,
                            %session,
                            error = %chain(&refused),
                            "an order is sent when the node connects again"
                        );
                        continue;
                    }
                }
            }
            self.orders.insert(key, order);
        }
    }
}
