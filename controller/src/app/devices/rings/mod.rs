//! What following a tag does: devices that should run a newer target are imaged with it, where the
//! policy of their site says so.
//!
//! Every controller does this. `snapshot` reads, [`plan`] decides, `steps` looks again and writes, and
//! `told` with it what is told.

pub mod plan;
pub(super) mod snapshot;
pub(super) mod steps;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{MachineUuid, StorageGroupId, Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::plan::Step;
pub use self::steps::Parts;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::state::Refusal;

/// Period of the rounds: windows open and patience ends without any change.
const TICK: Duration = Duration::from_secs(2);
/// A device whose host or image does not allow a deploy is tried again after this time.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// Works until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "rings",
        period: TICK,
        wakes: Vec::new(),
    };
    let background = ctx.background.clone();
    let rounds = Rounds {
        ctx,
        planner: Planner::default(),
    };
    background.drive(rhythm, rounds, cancel).await;
}

struct Rounds {
    ctx: Arc<Ctx>,
    planner: Planner,
}

impl Work for Rounds {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let now = Timestamp::now();
        self.planner.round(&self.ctx, now, report).await;
    }
}

/// What a controller remembers between two rounds.
#[derive(Default)]
pub struct Planner {
    /// Devices whose order was refused, and when.
    refused: BTreeMap<MachineUuid, Timestamp>,
}

impl Planner {
    /// Does what is to be done at `now`.
    pub async fn round(&mut self, ctx: &Ctx, now: Timestamp, report: &mut Report) {
        self.refused
            .retain(|_, since| now.since(*since) < REFUSED_FOR);
        let passed_over: BTreeSet<_> = self.refused.keys().copied().collect();
        let sites = ctx
            .state
            .read(|tables| snapshot::read(tables, &passed_over, now));
        if sites.is_empty() {
            return;
        }
        let parts = Parts::of(ctx);
        for site in &sites {
            for step in plan::plan(site, now) {
                let taken = steps::take(&ctx.state, &parts, site.factory, step, now).await;
                self.note(site.factory, step, taken, now, report);
            }
        }
    }

    fn note(
        &mut self,
        factory: StorageGroupId,
        step: Step,
        taken: Result<bool, Refusal>,
        now: Timestamp,
        report: &mut Report,
    ) {
        match (taken, step) {
            (Ok(true), Step::Order(uuid)) => {
                info!(%uuid, site = %factory, "a device is imaged because of its tag");
                report.did("devices ordered", 1);
            }
            (Ok(true), Step::End(uuid, task, end)) => {
                info!(%uuid, %task, ?end, "the imaging of a device has ended");
                report.did("orders ended", 1);
            }
            (Ok(true), Step::Withdraw(uuid, task)) => {
                info!(%uuid, %task, "the machine of a device did not come");
                report.did("orders withdrawn", 1);
            }
            (Ok(true), Step::Begin(uuid, task)) => debug!(%uuid, %task, "a device is written"),
            (Ok(false), _) => debug!(?step, "something has changed since it was planned"),
            (Err(refusal), Step::Order(uuid)) if !refusal.may_succeed_later() => {
                warn!(%uuid, error = %chain(&refusal), "a device cannot be imaged with the target of its tag");
                report.did("devices that cannot be imaged", 1);
                self.refused.insert(uuid, now);
            }
            (Err(refusal), _) => {
                warn!(?step, error = %chain(&refusal), "could not take a step of a site's policy");
                report.failed("could not take a step of a site's policy", &refusal);
            }
        }
    }
}
