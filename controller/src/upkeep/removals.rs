//! Orders nodes to delete the images whose deletion was ordered: when a node connects, and again until
//! it has done so.

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::app::orphans;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;

const PERIOD: Duration = Duration::from_secs(60);

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "removals",
        period: PERIOD,
        wakes: vec![("links", ctx.live.changed())],
    };
    let background = ctx.background.clone();
    background.drive(rhythm, Removals { ctx }, cancel).await;
}

struct Removals {
    ctx: Arc<Ctx>,
}

impl Work for Removals {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let sent = orphans::order_removals(&self.ctx, Timestamp::now());
        report.did("images dropped", sent as u64);
    }
}
