//! Multicast groups of sessions: leased with the first task of a session on a node, released when
//! the session has ended.

use std::net::SocketAddr;

use foghorn_types::{SessionId, StorageNodeId, TaskId};
use tracing::{debug, info};

use super::{Rules, is_active, session_of};
use crate::config::MulticastConfig;
use crate::state::multicast::{SessionPlan, Turn};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables, TaskRefusal};

/// Ports for sessions without a valid port.
const DEFAULT_PORT: u16 = 49_152;
/// Plans in one transaction.
const BATCH: usize = 50;

/// Leases a group for a node that is assigned a task of a session, unless it has one. Other tasks
/// need none.
///
/// # Errors
/// When no group is free, or no further session may begin.
pub fn lease(
    draft: &mut Draft<'_>,
    config: &MulticastConfig,
    task: TaskId,
    node: StorageNodeId,
    ipv6: bool,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let session = session_of(tables, task).filter(|_| config.enabled);
    let Some((session, id)) = session.and_then(|row| Some((row, row.key()?))) else {
        return Ok(());
    };
    let plans = tables.session_plans();
    let mut plan = plans
        .get(&id)
        .map_or_else(|| SessionPlan::new(id), |plan| SessionPlan::clone(plan));
    draft.require(plan.unchanged());
    if plan.leases.contains_key(&node) {
        return Ok(());
    }
    let rules = Rules::new(tables, config);
    if plan.leases.is_empty() && begun(tables) >= rules.max_sessions() {
        return Err(TaskRefusal::TooManySessions.into());
    }
    let start = id.get().wrapping_mul(16).wrapping_add(node.get());
    let group = rules
        .range(ipv6)
        .pick(&plans.used(), start)
        .ok_or(TaskRefusal::NoMulticastGroup)?;
    let port = rules
        .port_override()
        .or(u16::try_from(session.port).ok().filter(|port| *port != 0));
    plan.leases
        .insert(node, SocketAddr::new(group, port.unwrap_or(DEFAULT_PORT)));
    info!(session = %id, %node, %group, "leased a multicast group");
    draft.require(tables.multicast_turn().unchanged());
    draft.operate(Turn::take_op(id));
    draft.store(&plan);
    draft.unchanged(session);
    Ok(())
}

/// Active sessions that have groups.
pub(crate) fn begun(tables: &Tables) -> usize {
    tables
        .session_plans()
        .iter()
        .filter(|plan| !plan.leases.is_empty() && is_active(tables, plan.session))
        .count()
}

/// Releases the groups of a session.
fn free(draft: &mut Draft<'_>, session: SessionId) {
    if let Some(plan) = draft.tables().session_plans().get(&session) {
        draft.discard(&**plan);
    }
}

/// Releases the groups of sessions that have ended or were deleted in any way: over FOG's routes,
/// or while a controller crashed.
///
/// # Errors
/// When the store fails.
pub async fn sweep(state: &State) -> Result<(), Refusal> {
    let left: Vec<SessionId> = state.read(|tables| {
        let plans = tables.session_plans().iter().map(|plan| plan.session);
        plans
            .filter(|session| !is_active(tables, *session))
            .collect()
    });
    for part in left.chunks(BATCH) {
        state
            .write::<_, Refusal>(|draft| {
                let tables = draft.tables();
                part.iter()
                    .filter(|session| !is_active(tables, **session))
                    .for_each(|session| free(draft, *session));
                Ok(())
            })
            .await?;
        let sessions: Vec<_> = part.iter().map(|id| id.get()).collect();
        debug!(
            ?sessions,
            "freed the multicast groups of sessions that have ended"
        );
    }
    Ok(())
}
