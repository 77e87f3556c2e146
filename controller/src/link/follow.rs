//! Orders that follow from the state, for the agents that are linked here.
//!
//! Whichever controller moves a task, the one that has the link of its node sends the order: it sees
//! the change in its tables. So an order needs no other controller, and none is lost with one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::link::Controllers;
use foghorn_proto::link::controller_message::Message;
use foghorn_types::{StorageNodeId, TaskId, chain};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::app::orders;
use crate::background::{Report, Rhythm, Why, Work};
use crate::ctx::Ctx;
use crate::state::enrolment::EnrolledNode;
use crate::store::Revision;

/// The tables tell of every change; this is for what a full queue has cost.
const PERIOD: Duration = Duration::from_secs(10);

/// Sends orders until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "orders to nodes",
        period: PERIOD,
        wakes: vec![("tables", ctx.state.changed())],
    };
    let background = ctx.background.clone();
    let follow = Follow {
        ctx,
        told: HashMap::new(),
        controllers: Controllers::default(),
    };
    background.drive(rhythm, follow, cancel).await;
}

struct Follow {
    ctx: Arc<Ctx>,
    /// The link of each node, and up to which revision its agent was told.
    told: HashMap<StorageNodeId, (u64, Revision)>,
    /// The controllers that the agents know.
    controllers: Controllers,
}

impl Follow {
    /// Tells agents which controllers there are. One that misses it hears it with its next link.
    fn tell_controllers(&mut self) {
        let controllers = self.ctx.state.read(orders::controllers);
        if controllers == self.controllers {
            return;
        }
        for link in self.ctx.links.here() {
            let order = Message::Controllers(controllers.clone());
            if let Err(refused) = self.ctx.links.send(link.node, order) {
                debug!(node = %link.node, error = %chain(&refused), "could not tell a node of the controllers");
            }
        }
        self.controllers = controllers;
    }
}

impl Follow {
    /// Of these sessions, those whose task is elsewhere, or has ended (`None`), by the tables.
    fn left(
        &self,
        sessions: Vec<(StorageNodeId, TaskId)>,
    ) -> Vec<(StorageNodeId, TaskId, Option<bool>)> {
        self.ctx.state.read(|tables| {
            let judged = sessions.into_iter();
            judged
                .map(|(node, task)| (node, task, orders::is_elsewhere(tables, task, node)))
                .filter(|(_, _, is_elsewhere)| *is_elsewhere != Some(false))
                .collect()
        })
    }

    /// Ends sessions of tasks that have ended or left their nodes, whoever moved them.
    async fn end(&self, report: &mut Report) {
        let mut left = self.left(self.ctx.links.opened());
        for (node, task, is_elsewhere) in self.left(self.ctx.links.had()) {
            // A task that is younger than the tables is not gone because they do not show it.
            match orders::is_shown(&self.ctx, task).await {
                Ok(true) => left.push((node, task, is_elsewhere)),
                Ok(false) => {}
                Err(error) => {
                    debug!(%task, error = %chain(&error), "could not look at a task");
                    break;
                }
            }
        }
        for (node, task, is_elsewhere) in left {
            let told = match is_elsewhere {
                None => orders::tell_ended(&self.ctx, task, node),
                Some(_) => orders::tell_withdrawn(&self.ctx, task, node),
            };
            match told {
                Ok(()) => report.did("sessions ended", 1),
                Err(refused) => debug!(
                    %node,
                    %task,
                    error = %chain(&refused),
                    "a session ends when the node connects again"
                ),
            }
        }
    }
}

impl Work for Follow {
    async fn round(&mut self, _: Why, report: &mut Report) {
        self.tell_controllers();
        let before = std::mem::take(&mut self.told);
        let here: HashMap<StorageNodeId, (u64, Revision)> = self
            .ctx
            .links
            .here()
            .into_iter()
            .map(|link| match before.get(&link.node) {
                Some((number, up_to)) if *number == link.number => {
                    (link.node, (link.number, *up_to))
                }
                // What its first order shows.
                _ => (link.node, (link.number, link.reconciled)),
            })
            .collect();
        let (now, changed, revoked) = self.ctx.state.read_at(|tables, now| {
            let changed = tables.runs().active().filter_map(|run| {
                let node = run.node()?;
                let (_, up_to) = here.get(&node)?;
                (run.modified > *up_to).then_some((run.task, node))
            });
            let enrolled = tables.enrolled_nodes();
            let is_revoked = |node: &&StorageNodeId| {
                enrolled
                    .get(*node)
                    .is_none_or(|node| EnrolledNode::is_revoked(node))
            };
            let revoked = here.keys().filter(is_revoked).copied();
            (
                now,
                changed.collect::<Vec<_>>(),
                revoked.collect::<Vec<_>>(),
            )
        });
        for node in revoked {
            self.ctx.links.cut(node);
        }
        for (task, node) in changed {
            match orders::tell_open(&self.ctx, task, node) {
                Ok(()) => report.did("orders sent", 1),
                Err(refused) => debug!(
                    %node,
                    %task,
                    error = %chain(&refused),
                    "an order is sent when the node connects again"
                ),
            }
        }
        self.end(report).await;
        let told = here.into_iter();
        self.told = told
            .map(|(node, (number, _))| (node, (number, now)))
            .collect();
    }
}
