//! Further sources: a client may fetch its image from several nodes at once (decision 23).
//!
//! The node that has the task holds a place for it. A client that its link limits asks for more; what
//! it gets is written into the run as a wish. Which wishes are served follows from the tables alone:
//! those that fit into the places that no task has. So a task that needs a place gets it at once, a
//! wish ends with its run, and no controller has to remember or clean up anything.

mod claim;
mod tell;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foghorn_proto::link::{FurtherOrder, FurtherOrders};
use foghorn_types::{StorageGroupId, StorageNodeId, TaskId};

pub use claim::{ClaimError, claim};
pub use tell::run;

use super::{holds, multicast, places, versions};
use crate::config::MulticastConfig;
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::run::{Run, RunKind};

/// What decides how many nodes one client may fetch from.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'c> {
    pub multicast: &'c MulticastConfig,
    /// Nodes that one client may fetch from at a time, with the one that has its task, unless the
    /// site says otherwise.
    pub per_client: u8,
}

impl Ctx {
    /// What decides how many nodes one client may fetch from.
    #[must_use]
    pub fn terms(&self) -> Terms<'_> {
        Terms {
            multicast: &self.settings.multicast,
            per_client: self.settings.sources_per_client,
        }
    }
}

/// Nodes that a client may fetch from at a time where this storage group serves it.
#[must_use]
pub fn most(tables: &Tables, terms: Terms<'_>, group: Option<StorageGroupId>) -> usize {
    let site = group.and_then(|group| tables.sites().get(&group));
    let own = site.and_then(|site| site.body.sources_per_client);
    own.unwrap_or(terms.per_client).into()
}

fn group_of(tables: &Tables, node: StorageNodeId) -> Option<StorageGroupId> {
    tables.storage_nodes().get(node.get())?.group()
}

/// Whether the node may serve the run beside the one that has it, if it has a place for that. Whether
/// it holds the image was looked at when the client asked.
fn may_serve(tables: &Tables, run: &Run, node: StorageNodeId) -> bool {
    let Some(row) = tables.storage_nodes().get(node.get()) else {
        return false;
    };
    let joined = tables.enrolled_nodes().get(&node);
    // As long as no node has the task, those that served it beside the last one go on.
    let same_site = |own| own != node && group_of(tables, own) == row.group();
    matches!(
        run.kind,
        RunKind::Deploy {
            manifest: Some(_),
            ..
        }
    ) && !run.is_finished()
        && run.client_fingerprint.is_some()
        && run.node().is_none_or(same_site)
        && joined.is_some_and(|joined| !joined.is_revoked())
        && holds::takes_tasks(tables, row)
        && multicast::session_of(tables, run.task).is_none()
}

/// The wishes of a run that count: as many as the site lets a client have.
fn wishes<'r>(
    tables: &Tables,
    terms: Terms<'_>,
    run: &'r Run,
) -> impl Iterator<Item = StorageNodeId> + use<'r> {
    let first = run.node().or(run.further.first().copied());
    let group = first.and_then(|node| group_of(tables, node));
    let others = most(tables, terms, group).saturating_sub(1);
    run.further.iter().copied().take(others)
}

/// Places of the node that no task has.
fn spare(tables: &Tables, terms: Terms<'_>, node: StorageNodeId) -> u64 {
    let row = tables.storage_nodes().get(node.get());
    let all = row.map_or(0, |row| u64::try_from(row.max_clients).unwrap_or(0));
    all.saturating_sub(places::taken(tables, terms.multicast, node, None))
}

/// The runs that a node serves beside its own: those who asked first as far as places go.
fn served(tables: &Tables, terms: Terms<'_>, node: StorageNodeId) -> Vec<Arc<Run>> {
    let spare = usize::try_from(spare(tables, terms, node)).unwrap_or(usize::MAX);
    let wished = tables.runs().with_further().filter(|run| {
        wishes(tables, terms, run).any(|wish| wish == node) && may_serve(tables, run, node)
    });
    wished.take(spare).cloned().collect()
}

/// The runs that each node serves beside its own. In one walk: there may be thousands.
fn all_served(tables: &Tables, terms: Terms<'_>) -> BTreeMap<StorageNodeId, Vec<Arc<Run>>> {
    let mut all: BTreeMap<StorageNodeId, (u64, Vec<Arc<Run>>)> = BTreeMap::new();
    for run in tables.runs().with_further() {
        for node in wishes(tables, terms, run) {
            if !may_serve(tables, run, node) {
                continue;
            }
            let of_node = all.entry(node);
            let (spare, runs) = of_node.or_insert_with(|| (spare(tables, terms, node), Vec::new()));
            if (runs.len() as u64) < *spare {
                runs.push(run.clone());
            }
        }
    }
    let all = all.into_iter();
    all.map(|(node, (_, runs))| (node, runs)).collect()
}

/// What a node is told.
#[must_use]
pub fn orders(tables: &Tables, terms: Terms<'_>, node: StorageNodeId) -> FurtherOrders {
    orders_for(tables, &served(tables, terms, node))
}

fn orders_for(tables: &Tables, runs: &[Arc<Run>]) -> FurtherOrders {
    let order = |run: &Arc<Run>| {
        let fixed = versions::of_run(tables, run)?;
        Some(FurtherOrder {
            task_id: run.task.get(),
            host_id: run.host.get(),
            image_id: run.image.get(),
            manifest_id: fixed.manifest.as_bytes().to_vec(),
            client_fingerprint: run.client_fingerprint?.to_vec(),
        })
    };
    FurtherOrders {
        orders: runs.iter().filter_map(order).collect(),
    }
}

/// What all nodes are told that serve anybody beside their own tasks, and which nodes serve which
/// tasks.
#[must_use]
fn all_orders(
    tables: &Tables,
    terms: Terms<'_>,
) -> (HashMap<StorageNodeId, FurtherOrders>, Serving) {
    let mut serving = Serving::new();
    let mut orders = HashMap::new();
    for (node, runs) in all_served(tables, terms) {
        for run in &runs {
            serving.entry(run.task).or_default().push(node);
        }
        orders.insert(node, orders_for(tables, &runs));
    }
    (orders, serving)
}

/// Nodes by the tasks that they serve beside the ones that have them.
type Serving = HashMap<TaskId, Vec<StorageNodeId>>;
