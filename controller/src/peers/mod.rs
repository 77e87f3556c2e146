//! Several controllers on one store (decision 17).
//!
//! Each calls every other one. Who is called tells what its agents say ([`Mirror`]); the caller takes
//! that into its own memory (`apply`), so that every controller shows the same, and passes on
//! orders for agents that are linked there. What follows from the state needs none of this: every
//! controller reads the same store. Of the nodes of one that lives and is not heard, its record in
//! the store says which they are (`named`).
//!
//! [`Mirror`]: crate::agents::mirror::Mirror

mod apply;
mod call;
mod dial;
mod named;
pub mod service;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foghorn_types::{StorageNodeId, chain};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

pub(crate) use self::dial::OverTls;
pub use self::dial::{Call, Dial, DialError};
use self::named::{Named, forget_unnamed};
use crate::awake;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::controller_record::{ControllerRecord, LinkedNode};
use crate::state::shelf::Record as _;
use crate::store::Txn;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(2);
/// Addresses of a node in the record: the best, and some more.
const MOST_ADDRESSES: usize = 4;
/// While another is not heard, changed links are written at most this often …
const IN_TROUBLE: Duration = Duration::from_millis(50);
/// … and otherwise. What comes in between goes with the next change, or with the next beat.
const AT_REST: Duration = Duration::from_millis(250);
/// A controller that is not heard, and has not written its record for so long, is dead: its agents
/// will call others.
const DEAD_AFTER: Duration = Duration::from_secs(6);
/// The record of a dead controller is kept this long, in case it only was cut off.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// What wakes the driver when this controller begins to end.
const LEAVING: &str = "leaving";

const SOFTWARE: &str = concat!("foghorn-controller ", env!("CARGO_PKG_VERSION"));

/// This controller, as it presents itself to others.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) id: String,
    /// `host:port` at which others call it.
    pub(crate) peers: String,
    /// `host:port` at which agents call it.
    pub(crate) link: String,
}

impl Own {
    fn record(&self, beat: u64, leaving: bool, nodes: Vec<LinkedNode>) -> ControllerRecord {
        ControllerRecord {
            id: self.id.clone(),
            peers: self.peers.clone(),
            link: self.link.clone(),
            software: SOFTWARE.to_owned(),
            leaving,
            nodes: Some(nodes),
            beat,
            modified: 0,
        }
    }
}

/// Makes this controller known, and follows the others until `cancel`.
pub(crate) async fn run(
    ctx: Arc<Ctx>,
    (own, dial): (Own, Arc<dyn Dial>),
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let rhythm = Rhythm {
        name: "controllers",
        period: BEAT,
        wakes: vec![
            (LEAVING, ctx.leaving.news()),
            ("tables", ctx.state.changed()),
            ("links", ctx.live.changed()),
        ],
    };
    let (background, state) = (ctx.background.clone(), ctx.state.clone());
    let id = own.id.clone();
    ctx.peers.name(&id);
    let others = Others {
        ctx,
        own,
        dial,
        beat: 0,
        known: HashMap::new(),
        named: Named::default(),
        told: BTreeMap::new(),
        told_at: awake::now(),
        tasks,
        cancel: cancel.clone(),
    };
    background.drive(rhythm, others, cancel).await;
    // The others need not wait for it. Our tables no longer follow the store.
    let txn = Txn {
        ops: vec![ControllerRecord::delete_op(&id)],
        ..Txn::default()
    };
    if let Err(error) = state.store().commit(txn).await {
        warn!(error = %chain(&error), "could not tell the other controllers of the end of this one");
    }
}

struct Others {
    ctx: Arc<Ctx>,
    own: Own,
    dial: Arc<dyn Dial>,
    beat: u64,
    known: HashMap<String, Other>,
    named: Named,
    /// The nodes in the record of this controller, and when it was written.
    told: BTreeMap<StorageNodeId, Vec<String>>,
    told_at: Instant,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// Another controller.
struct Other {
    beat: u64,
    /// When its record was last seen to change.
    seen: Instant,
    call: AbortHandle,
    /// Another controller has answered at its address: it was restarted there, or two have been given
    /// one address.
    replaced: Arc<AtomicBool>,
    /// Its nodes were taken for lost.
    dead: bool,
    /// Beats that were seen since it is not heard.
    unheard: u32,
}

impl Work for Others {
    async fn round(&mut self, why: Why, report: &mut Report) {
        // That it leaves is told at once, and what nobody would hear otherwise.
        let is_due = why == Why::Period || why == Why::Change(LEAVING);
        if !is_due && !self.has_untold_links() {
            self.look();
            return self.follow_named();
        }
        self.beat += 1;
        self.told = self.nodes_here();
        let leaving = self.ctx.leaving.has_begun();
        let nodes = self.told.iter().map(|(id, addresses)| LinkedNode {
            id: *id,
            addresses: addresses.clone(),
        });
        let nodes = nodes.collect();
        self.told_at = awake::now();
        let record = self.own.record(self.beat, leaving, nodes);
        let written = self.ctx.state.write::<_, Refusal>(|draft| {
            draft.store(&record);
            Ok(())
        });
        if let Err(error) = written.await {
            report.failed("could not write the record of this controller", &error);
        }
        self.look();
        self.bury(report).await;
        self.follow_named();
    }
}

impl Others {
    /// Calls those that are new, and forgets those that have left.
    fn look(&mut self) {
        let records: Vec<Arc<ControllerRecord>> = self.ctx.state.read(|tables| {
            let all = tables.controllers().iter();
            all.filter(|controller| controller.id != self.own.id)
                .cloned()
                .collect()
        });
        self.known.retain(|id, other| {
            let is_there = records.iter().any(|record| record.id == *id);
            if !is_there {
                info!(controller = id, "a controller has left");
                other.call.abort();
                apply::ended(&self.ctx, id);
            }
            is_there
        });
        for record in records {
            let id = record.id.clone();
            match self.known.get_mut(&id) {
                Some(other) if other.beat != record.beat => {
                    other.beat = record.beat;
                    other.seen = awake::now();
                    other.dead = false;
                    other.unheard = match self.ctx.peers.is_heard(&record.id) {
                        true => 0,
                        false => other.unheard + 1,
                    };
                    forget_unnamed(&self.ctx, other, &record);
                }
                Some(_) => {}
                None => {
                    let span = info_span!("controller", id, address = record.peers);
                    info!(
                        controller = id,
                        address = record.peers,
                        "there is another controller"
                    );
                    let replaced = Arc::new(AtomicBool::new(false));
                    let call = call::keep(
                        self.ctx.clone(),
                        self.own.clone(),
                        self.dial.clone(),
                        record.clone(),
                        replaced.clone(),
                    );
                    let cancel = self.cancel.clone();
                    let call = async move { cancel.run_until_cancelled(call).await };
                    let call = self.tasks.spawn(call.instrument(span)).abort_handle();
                    let other = Other {
                        beat: record.beat,
                        seen: awake::now(),
                        call,
                        replaced,
                        dead: false,
                        unheard: 0,
                    };
                    self.known.insert(id, other);
                }
            }
        }
    }

    fn nodes_here(&self) -> BTreeMap<StorageNodeId, Vec<String>> {
        let here = self.ctx.links.here();
        here.iter()
            .map(|link| {
                let mut addresses = self.ctx.live.addresses(link.node);
                addresses.truncate(MOST_ADDRESSES);
                (link.node, addresses)
            })
            .collect()
    }

    /// Whether the links here have changed, and there is somebody to tell. One that is not heard
    /// probably does not hear either, and needs it at once; others may not hear all the same.
    fn has_untold_links(&self) -> bool {
        let is_deaf = |(id, other): (&String, &Other)| !other.dead && !self.ctx.peers.is_heard(id);
        let pause = match self.known.iter().any(is_deaf) {
            true => IN_TROUBLE,
            false => AT_REST,
        };
        let is_due = !self.known.is_empty() && awake::since(self.told_at) >= pause;
        is_due && self.nodes_here() != self.told
    }

    fn follow_named(&mut self) {
        let lives = |id: &str| self.known.get(id).is_some_and(|other| !other.dead);
        let named: Vec<LinkedNode> = self.ctx.state.read(|tables| {
            let others = tables.controllers().iter();
            let unheard = others.filter(|one| lives(&one.id) && !self.ctx.peers.is_heard(&one.id));
            unheard
                .flat_map(|one| one.nodes.iter().flatten().cloned())
                .collect()
        });
        self.named.follow(&self.ctx, named);
    }

    /// Takes the nodes of dead controllers for lost, and removes the records of the long dead.
    async fn bury(&mut self, report: &mut Report) {
        for (id, other) in &mut self.known {
            let silent = awake::since(other.seen);
            let heard = self.ctx.peers.is_heard(id);
            if heard {
                (other.dead, other.unheard) = (false, 0);
            }
            // One that writes lives, whoever answers at its address.
            if heard || silent < DEAD_AFTER {
                continue;
            }
            if !other.dead {
                warn!(
                    controller = id,
                    "a controller does not answer and does not write any longer"
                );
                other.dead = true;
                apply::lost(&self.ctx, id);
            }
            let replaced = other.replaced.load(Ordering::Relaxed);
            if silent < FORGET_AFTER && !replaced {
                continue;
            }
            let beat = other.beat;
            let buried = self.ctx.state.write::<_, Refusal>(|draft| {
                // It may have written in this moment.
                if let Some(record) = draft.tables().controllers().get(id)
                    && record.beat == beat
                {
                    let record = record.clone();
                    draft.discard(&*record);
                }
                Ok(())
            });
            match buried.await {
                Ok(()) => report.did("records of dead controllers removed", 1),
                Err(error) => {
                    report.failed("could not remove the record of a dead controller", &error)
                }
            }
        }
    }
}
