//! The dispatcher: assigns tasks to nodes, follows them, and ensures that each of them ends.
//!
//! It reconciles. It is notified *that* something changed (the tables, a link) and also runs once a
//! second; it reads intent and reality ([`snapshot`]), decides ([`plan`](mod@plan)), and acts
//! ([`crate::app::moves`]): first the store, then the agent. Nothing it knows is lost with the
//! process.

mod candidates;
mod load;
mod loss;
pub mod plan;
mod queue;
mod room;
mod sessions;
pub mod snapshot;
mod waits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_lifecycle::TaskEvent;
use foghorn_types::{StorageNodeId, TaskId, Timestamp, chain};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::plan::Move;

use self::loss::Losses;
use self::sessions::Told;
use self::snapshot::Movement;
use crate::app::moves::{MoveError, Moved, apply_event, apply_event_with};
use crate::app::{multicast, orders, places};
use crate::awake;
use crate::background::{Report, Rhythm, Why, Work};
use crate::config::Limits;
use crate::ctx::Ctx;
use crate::state::{Refusal, TaskRefusal};

/// Deadlines expire without a notification.
const TICK: Duration = Duration::from_secs(1);
/// Orders are repeated this often, in case one was lost between the store and the agent. Opening a
/// session again is free.
const REPEAT: Duration = Duration::from_secs(30);
/// Moves under way at a time: the store writes them together.
const AT_ONCE: usize = 32;
/// No move is begun later than this after the first of its plan.
const LONGEST_ROUND: Duration = Duration::from_millis(500);

/// Drives every task until `cancel`.
pub async fn run(ctx: Arc<Ctx>, limits: Limits, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "dispatch",
        period: TICK,
        wakes: vec![
            ("tables", ctx.state.changed()),
            ("links", ctx.live.changed()),
        ],
    };
    let background = ctx.background.clone();
    let dispatcher = Dispatcher {
        ctx,
        limits,
        movement: Movement::default(),
        losses: Losses::default(),
        told: Told::default(),
        repeated: awake::now(),
    };
    background.drive(rhythm, dispatcher, cancel).await;
}

struct Dispatcher {
    ctx: Arc<Ctx>,
    limits: Limits,
    movement: Movement,
    losses: Losses,
    told: Told,
    repeated: Instant,
}

/// Whose moves come one after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Node(StorageNodeId),
    Task(TaskId),
}

impl Work for Dispatcher {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let (now, instant) = (Timestamp::now(), awake::now());
        let snapshot = self.movement.snapshot(
            &self.ctx.state,
            (&self.ctx.live, &self.ctx.links),
            &self.ctx.settings.multicast,
            instant,
        );
        self.losses
            .record(&self.ctx, &snapshot, self.limits.node_grace, report)
            .await;
        self.ctx
            .live
            .waits()
            .replace(waits::waits(&snapshot, self.limits));
        let moves = plan::plan(&snapshot, self.limits, now);
        self.take_all(moves, report).await;
        if instant.duration_since(self.repeated) >= REPEAT {
            self.repeated = instant;
            orders::repeat(&self.ctx);
        }
        self.told.round(&self.ctx);
        self.forget_ended();
    }
}

impl Dispatcher {
    /// Makes the moves, several at a time. Those that give places of one node away come one after
    /// the other: they would only overtake each other.
    async fn take_all(&self, moves: Vec<Move>, report: &mut Report) {
        let until = tokio::time::Instant::now() + LONGEST_ROUND;
        let mut turns: BTreeMap<Turn, Vec<Move>> = BTreeMap::new();
        for step in moves {
            let turn = match step.event {
                TaskEvent::Assigned { node } => Turn::Node(node),
                _ => Turn::Task(step.task),
            };
            turns.entry(turn).or_default().push(step);
        }
        let take = |steps: Vec<Move>| async move {
            let mut taken = Vec::new();
            for step in steps {
                // A plan that takes long is made anew: there may be something more urgent.
                if tokio::time::Instant::now() < until {
                    debug!(task = %step.task, event = ?step.event, "planned");
                    taken.push((step.task, self.take(step.task, step.event).await));
                }
            }
            taken
        };
        let mut taken = stream::iter(turns.into_values().map(take)).buffer_unordered(AT_ONCE);
        while let Some(taken) = taken.next().await {
            for (task, moved) in taken {
                note(task, moved, report);
            }
        }
    }

    /// With a node, the first task of a multicast session gets the group that this node sends to.
    async fn take(&self, task: TaskId, event: TaskEvent) -> Result<Moved, MoveError> {
        let TaskEvent::Assigned { node } = event else {
            return apply_event(&self.ctx, task, event).await;
        };
        let ipv6 = self
            .ctx
            .live
            .node(node)
            .is_some_and(|live| multicast::is_ipv6(&live.quic_address));
        foghorn_faults::wait!("controller.assign.before");
        let moved = apply_event_with(&self.ctx, task, event, |_, draft| {
            places::take(draft, &self.ctx.settings.multicast, task, node)?;
            multicast::lease(draft, &self.ctx.settings.multicast, task, node, ipv6)?;
            Ok(())
        })
        .await;
        foghorn_faults::wait!("controller.assign.stored");
        moved
    }

    /// Removes the progress of transfers that have ended.
    fn forget_ended(&self) {
        let known = self.ctx.live.transfers();
        let ended: Vec<_> = self.ctx.state.read(|tables| {
            known
                .keys()
                .copied()
                .filter(|task| tables.runs().get(task).is_none_or(|run| run.is_finished()))
                .collect()
        });
        for task in ended {
            self.ctx.live.forget_transfer(task);
        }
        let active = |session| {
            let state = &self.ctx.state;
            state.read(|tables| multicast::is_active(tables, session))
        };
        self.ctx.live.session_reports().forget(awake::now(), active);
    }
}

/// What became of a move.
fn note(task: TaskId, moved: Result<Moved, MoveError>, report: &mut Report) {
    match moved {
        Ok(_) => report.did("tasks moved", 1),
        // Another controller was faster; the next round sees its change.
        Err(MoveError::Transition(refused)) => {
            debug!(%task, error = %chain(&refused), "the task changed after it was planned")
        }
        Err(MoveError::State(Refusal::Task(TaskRefusal::NoPlace))) => {
            debug!(%task, "another controller gave the last place away");
        }
        Err(error) => {
            warn!(%task, error = %chain(&error), "could not move the task");
            report.failed("could not move a task", &error);
        }
    }
}
