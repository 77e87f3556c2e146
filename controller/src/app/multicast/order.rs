//! Orders for agents about sessions. They depend only on the tables, so every controller sends the
//! same.

use std::sync::Arc;

use foghorn_lifecycle::{Outcome, TaskState};
use foghorn_proto::link::{MulticastOrder, SessionLimit};
use foghorn_types::{BitRate, SessionId, StorageGroupId, StorageNodeId, TaskId, Timestamp};

use super::{Rules, tasks_of};
use crate::app::sites;
use crate::config::MulticastConfig;
use crate::state::classes::{MulticastSession, StorageNode, Task};
use crate::state::multicast::Start;
use crate::state::run::Run;
use crate::state::{Row, Tables};

/// The order for a session on one of its nodes; `None` when it has no group there.
pub(crate) fn order(
    tables: &Tables,
    config: &MulticastConfig,
    session: &Row<MulticastSession>,
    node: StorageNodeId,
) -> Option<MulticastOrder> {
    let id = session.key()?;
    let plan = tables.session_plans().get(&id).filter(|_| config.enabled)?;
    let group = plan.leases.get(&node)?;
    let rules = Rules::new(tables, config);
    let row = tables.of::<StorageNode>().get(node.get());
    let interface = row
        .map(|row| row.interface.trim())
        .filter(|name| !name.is_empty());
    let (start_receivers, start, latest) = start(
        tables,
        &rules,
        (id, session),
        plan.start,
        node,
        plan.leases.len() > 1,
    );
    let millis = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_millis);
    let rate = rate_on(tables, config, plan.max_rate, node);
    Some(MulticastOrder {
        session_id: id.get(),
        group: group.to_string(),
        interface: interface.unwrap_or_else(|| rules.interface()).to_owned(),
        max_rate_bytes_per_second: rate.map_or(0, BitRate::bytes_per_second),
        floor_bytes_per_second: config.floor.map_or(0, BitRate::bytes_per_second),
        ttl: config.ttl.into(),
        source_specific: config.source_specific,
        start_receivers,
        start_unix_ms: millis(start),
        start_latest_unix_ms: millis(latest),
    })
}

/// What all tasks of a session that a node serves may be sent together; `None` without a plan.
pub(crate) fn limit(
    tables: &Tables,
    config: &MulticastConfig,
    session: &Row<MulticastSession>,
    node: StorageNodeId,
) -> Option<SessionLimit> {
    let id = session.key()?;
    let plan = tables.session_plans().get(&id)?;
    let rate = rate_on(tables, config, plan.max_rate, node);
    Some(SessionLimit {
        session_id: id.get(),
        max_rate_bytes_per_second: rate.map_or(0, BitRate::bytes_per_second),
    })
}

fn rate_on(
    tables: &Tables,
    config: &MulticastConfig,
    session: Option<BitRate>,
    node: StorageNodeId,
) -> Option<BitRate> {
    let row = tables.of::<StorageNode>().get(node.get());
    let of_node = row.and_then(|row| row.bitrate.parse().ok());
    max_rate(session, of_node, config.max_rate)
}

/// The maximum rate of a session, otherwise that of the configuration; the `bitrate` of its node
/// always applies.
fn max_rate(
    session: Option<BitRate>,
    node: Option<BitRate>,
    config: Option<BitRate>,
) -> Option<BitRate> {
    let some = |rate: &BitRate| rate.bits_per_second() > 0;
    let session = session.or(config).filter(some);
    [session, node.filter(some)]
        .into_iter()
        .flatten()
        .min_by_key(|rate| rate.bits_per_second())
}

/// How many receivers to wait for, the time to start at, and the time to start at the latest.
fn start(
    tables: &Tables,
    rules: &Rules<'_>,
    (id, session): (SessionId, &Row<MulticastSession>),
    start: Start,
    node: StorageNodeId,
    several: bool,
) -> (u32, Option<Timestamp>, Option<Timestamp>) {
    if start.at.is_some() {
        return (0, start.at, None);
    }
    let here = expected(tables, id, node);
    let named = start.receivers.or(u32::try_from(session.sessclients)
        .ok()
        .filter(|count| *count > 0));
    // A node sees its own receivers only, and never all that are named.
    let receivers = match named {
        Some(named) if several => named.min(here.len().try_into().unwrap_or(u32::MAX)),
        Some(named) => named,
        None => here.len().try_into().unwrap_or(u32::MAX),
    };
    // A client that connects now, for instance after a restart of the node, does not wait for those
    // that are done.
    let done = here.iter().filter(|run| run.is_finished()).count();
    let receivers = receivers.saturating_sub(u32::try_from(done).unwrap_or(u32::MAX));
    let wait = start.max_wait.or_else(|| rules.max_wait());
    let latest = first_there(tables, &here)
        .zip(wait)
        .map(|(first, wait)| first + wait);
    (receivers.max(1), None, latest)
}

/// When the first of these hosts has checked in.
fn first_there(tables: &Tables, runs: &[&Arc<Run>]) -> Option<Timestamp> {
    let rows = runs
        .iter()
        .filter_map(|run| tables.of::<Task>().get(run.task.get()));
    rows.filter_map(|row| row.check_in_time.0).min()
}

/// Deploys of a session that this node serves, has served, or is likely to serve. Failed and
/// cancelled ones are not waited for; a completed one counts as present.
fn expected(tables: &Tables, session: SessionId, node: StorageNodeId) -> Vec<&Arc<Run>> {
    let group = tables
        .of::<StorageNode>()
        .get(node.get())
        .and_then(|row| StorageGroupId::new(row.storagegroup));
    let runs = tasks_of(tables, session).filter_map(|task| tables.runs().get(&task));
    // The site of its host, which serves it first.
    let is_of_group = |run: &Run| sites::tiers(tables, run).first() == group.as_ref();
    let counts = |run: &&Arc<Run>| match run.life.state() {
        TaskState::Finished { outcome, .. } => *outcome == Outcome::Complete && is_of_group(run),
        state => state
            .node()
            .map_or_else(|| is_of_group(run), |own| own == node),
    };
    runs.filter(counts).collect()
}

/// An order for a session, with a task with which it can be sent to the node.
pub(crate) struct Present {
    pub(crate) node: StorageNodeId,
    pub(crate) session: SessionId,
    pub(crate) task: TaskId,
    pub(crate) order: MulticastOrder,
}

/// All orders of the active sessions.
pub(crate) fn present(tables: &Tables, config: &MulticastConfig) -> Vec<Present> {
    let mut orders = Vec::new();
    for plan in tables.session_plans().iter() {
        let Some(session) = tables
            .of::<MulticastSession>()
            .get(plan.session.get())
            .filter(|row| row.is_active())
        else {
            continue;
        };
        for node in plan.leases.keys() {
            let mut served =
                tasks_of(tables, plan.session).filter_map(|task| tables.runs().get(&task));
            let Some(run) = served.find(|run| run.node() == Some(*node) && !run.is_finished())
            else {
                continue;
            };
            orders.extend(order(tables, config, session, *node).map(|order| Present {
                node: *node,
                session: plan.session,
                task: run.task,
                order,
            }));
        }
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_counts_and_none_is_no_limit() {
        let (low, high, none) = (
            BitRate::from_mbit(100),
            BitRate::from_mbit(900),
            BitRate::from_mbit(0),
        );
        assert_eq!(max_rate(None, None, None), None);
        assert_eq!(max_rate(Some(high), Some(low), None), Some(low));
        assert_eq!(max_rate(Some(low), Some(high), Some(high)), Some(low));
        assert_eq!(
            max_rate(Some(high), None, Some(low)),
            Some(high),
            "a session may be faster than the default"
        );
        assert_eq!(
            max_rate(Some(none), None, Some(low)),
            None,
            "and may have no limit"
        );
        assert_eq!(max_rate(None, Some(none), Some(low)), Some(low));
    }
}
