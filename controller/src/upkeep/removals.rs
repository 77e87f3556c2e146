//! Orders nodes to delete the images whose deletion was ordered: at once, when a node connects, and
//! again until it has done so. A node whose disk is nearly full gives up earlier versions of images
//! first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_types::{StorageNodeId, Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::orphans::Removable;
use crate::app::{orphans, versions};
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;

/// Until an order that nobody has answered is repeated.
const PERIOD: Duration = Duration::from_secs(60);

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "removals",
        period: AGAIN,
        wakes: vec![
            ("links", ctx.live.changed()),
            ("tables", ctx.state.changed()),
        ],
    };
    let background = ctx.background.clone();
    let removals = Removals {
        ctx,
        made_room: HashMap::new(),
        ordered: HashMap::new(),
    };
    background.drive(rhythm, removals, cancel).await;
}

struct Removals {
    ctx: Arc<Ctx>,
    /// When each node last lost a version. What it frees is seen only after a sweep.
    made_room: HashMap<StorageNodeId, Instant>,
    /// What was ordered last: a node gets a period to say that it is done.
    ordered: HashMap<Removable, Ordered>,
}

/// An order to remove something.
struct Ordered {
    at: Instant,
    /// The link that it was sent on. A node that has dialled again may not have got it, or was
    /// killed over it.
    link: Option<u64>,
    job: u64,
}

/// After a node has said that it could not remove something, until it is told again.
const AGAIN: Duration = Duration::from_secs(5);

/// Between two versions that one node gives up.
const ROOM_PERIOD: Duration = Duration::from_secs(10 * 60);

impl Removals {
    async fn make_room(&mut self, report: &mut Report) {
        for (node, live) in self.ctx.live.nodes() {
            let lately = self.made_room.get(&node);
            // Not by every controller at once.
            let is_here = self.ctx.links.here().iter().any(|here| here.node == node);
            if !is_here
                || !live.is_nearly_full()
                || lately.is_some_and(|at| at.elapsed() < ROOM_PERIOD)
            {
                continue;
            }
            match versions::make_room(&self.ctx.state, node).await {
                Ok(Some((image, version))) => {
                    info!(%node, %image, version, "an earlier version of an image makes room on a full disk");
                    self.made_room.insert(node, Instant::now());
                    report.did("versions of images given up for room", 1);
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(%node, error = %chain(&error), "could not give up an earlier version of an image");
                    report.failed("could not give up a version of an image", &error);
                }
            }
        }
    }
}

impl Work for Removals {
    async fn round(&mut self, _: Why, report: &mut Report) {
        self.make_room(report).await;
        let here = self.ctx.links.here();
        let links: HashMap<StorageNodeId, u64> =
            here.iter().map(|here| (here.node, here.number)).collect();
        let jobs = &self.ctx.jobs;
        self.ordered.retain(|(node, ..), ordered| {
            let failed = jobs.get(ordered.job).is_some_and(|job| job.error.is_some());
            let wait = if failed { AGAIN } else { PERIOD };
            ordered.at.elapsed() < wait && links.get(node).copied() == ordered.link
        });
        let ordered = &self.ordered;
        let sent = orphans::order_removals(&self.ctx, Timestamp::now(), |removable| {
            !ordered.contains_key(removable)
        });
        report.did("images dropped", sent.len() as u64);
        for (removable, job) in sent {
            let ordered = Ordered {
                at: Instant::now(),
                link: links.get(&removable.0).copied(),
                job,
            };
            self.ordered.insert(removable, ordered);
        }
    }
}
