//! How the images of multicast sessions travel: which group each storage node sends to, when it begins, how fast it may be.
//!
//! The rows that FOG knows are [`super::sessions`]' business. Here is what an agent is told (`order`) and the groups that
//! sessions lease (`leases`).

mod leases;
mod order;
mod rules;

pub(crate) use leases::{begun, free};
pub use leases::{lease, sweep};
pub(crate) use order::{order, present};
pub(crate) use rules::Rules;

use std::net::SocketAddr;
use std::sync::Arc;

use foghorn_types::TaskId;

use crate::state::classes::{MulticastSession, MulticastSessionAssociation};
use crate::state::{Row, Tables};

/// The session under way that a task belongs to.
pub(crate) fn session_of(tables: &Tables, task: TaskId) -> Option<&Arc<Row<MulticastSession>>> {
    let memberships = tables.of::<MulticastSessionAssociation>();
    let memberships = memberships.by(MulticastSessionAssociation::BY_TASK, task.get().into());
    let mut sessions = memberships.rev().filter_map(|member| tables.of::<MulticastSession>().get(member.session));
    sessions.find(|session| session.is_active())
}

/// Tasks of a session, in the order in which they joined.
pub(crate) fn tasks_of(tables: &Tables, session: u32) -> impl Iterator<Item = TaskId> {
    let members = tables.of::<MulticastSessionAssociation>();
    let members = members.by(MulticastSessionAssociation::BY_SESSION, session.into());
    members.filter_map(|member| TaskId::new(member.task))
}

/// Whether clients reach a node by IPv6, by its address as its agent tells it. A name counts as IPv4.
pub(crate) fn is_ipv6(quic_address: &str) -> bool {
    quic_address.parse::<SocketAddr>().is_ok_and(|address| address.is_ipv6())
}
