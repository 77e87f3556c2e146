//! Tells the nodes that are linked here whom they serve beside their own tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::link::FurtherOrders;
use foghorn_proto::link::controller_message::Message;
use foghorn_types::{StorageNodeId, chain};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::all_orders;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;

/// The tables tell of every change; this is for what a full queue has cost.
const PERIOD: Duration = Duration::from_secs(5);

/// Runs until `cancel`.
pub async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "further sources",
        period: PERIOD,
        wakes: vec![("tables", ctx.state.changed())],
    };
    let background = ctx.background.clone();
    let work = Tell {
        ctx,
        told: HashMap::new(),
    };
    background.drive(rhythm, work, cancel).await;
}

struct Tell {
    ctx: Arc<Ctx>,
    /// The link of each node, and what was sent over it.
    told: HashMap<StorageNodeId, (u64, FurtherOrders)>,
}

impl Work for Tell {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let ctx = self.ctx.clone();
        let (orders, serving) = ctx.state.read(|tables| all_orders(tables, ctx.terms()));
        ctx.live.set_further(serving);
        let mut before = std::mem::take(&mut self.told);
        for link in ctx.links.here() {
            let node = link.node;
            if !ctx.live.node(node).is_some_and(|live| live.gives_further) {
                continue;
            }
            let told = before.remove(&node);
            let told = told.filter(|(number, _)| *number == link.number);
            let present = orders.get(&node).cloned().unwrap_or_default();
            if let Some((number, told)) = told
                && told == present
            {
                self.told.insert(node, (number, told));
                continue;
            }
            // To a new link also when there is nothing: what its first order said may be over.
            match ctx.links.send(node, Message::Further(present.clone())) {
                Ok(()) => {
                    report.did("orders sent", 1);
                    self.told.insert(node, (link.number, present));
                }
                Err(error) => {
                    debug!(%node, error = %chain(&error), "could not order further sources");
                }
            }
        }
    }
}
