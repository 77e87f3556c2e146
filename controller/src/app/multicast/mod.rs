//! How multicast sessions are sent: the group of each storage node, the start, the maximum rate.
//!
//! FOG's rows are in [`super::sessions`]. This module contains the orders for agents (`order`) and
//! the groups that sessions lease (`leases`).

mod leases;
mod order;
mod rules;

pub(crate) use leases::begun;
pub use leases::{lease, sweep};
pub(crate) use order::{Present, limit, order, present};
pub(crate) use rules::Rules;

use std::net::SocketAddr;
use std::sync::Arc;

use foghorn_types::{SessionId, TaskId};

use crate::state::classes::{MulticastSession, MulticastSessionAssociation};
use crate::state::{Row, Tables};

/// The active session that a task belongs to.
pub(crate) fn session_of(tables: &Tables, task: TaskId) -> Option<&Arc<Row<MulticastSession>>> {
    let memberships = tables.of::<MulticastSessionAssociation>();
    let memberships = memberships.by(MulticastSessionAssociation::BY_TASK, task.get().into());
    let mut sessions = memberships
        .rev()
        .filter_map(|member| tables.of::<MulticastSession>().get(member.session));
    sessions.find(|session| session.is_active())
}

/// Tasks of a session, in the order in which they joined.
pub(crate) fn tasks_of(tables: &Tables, session: SessionId) -> impl Iterator<Item = TaskId> {
    let members = tables.of::<MulticastSessionAssociation>();
    let members = members.by(
        MulticastSessionAssociation::BY_SESSION,
        session.get().into(),
    );
    members.filter_map(|member| TaskId::new(member.task))
}

/// Whether a session exists and has not ended.
pub(crate) fn is_active(tables: &Tables, session: SessionId) -> bool {
    tables
        .of::<MulticastSession>()
        .get(session.get())
        .is_some_and(|row| row.is_active())
}

/// Whether clients reach a node by IPv6, judged by the address that its agent reports. A name
/// counts as IPv4.
pub(crate) fn is_ipv6(quic_address: &str) -> bool {
    quic_address
        .parse::<SocketAddr>()
        .is_ok_and(|address| address.is_ipv6())
}
