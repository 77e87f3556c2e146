//! Clients that reach the controller and not their storage node: something between drops UDP.

use foghorn_lifecycle::{TaskEvent, TransitionError};
use foghorn_proto::http::{UnreachedRequest, UnreachedResponse};
use foghorn_types::{NodeName, TaskId, chain};
use tracing::{info, warn};

use crate::app::moves::{self, MoveError};
use crate::ctx::Ctx;

/// Why a report was refused.
#[derive(Debug, thiserror::Error)]
pub enum UnreachedError {
    #[error("no check-in has this bearer token")]
    Stranger,
    #[error("the task has ended: {reason}")]
    Ended { reason: String },
    #[error("no storage node has the task now")]
    NoNode,
    #[error("{0:?} is not an address of the storage node of the task")]
    OtherAddress(String),
    #[error("could not end the task")]
    Move(#[from] MoveError),
}

/// Shows what hinders the client as the reason why its task waits, and ends the task when the client
/// has given up.
///
/// # Errors
/// See [`UnreachedError`].
pub async fn report(
    ctx: &Ctx,
    session: &str,
    request: &UnreachedRequest,
) -> Result<UnreachedResponse, UnreachedError> {
    let (task, node, name) = ctx.state.read(|tables| {
        let run = tables.runs().by_session(session);
        let run = run.ok_or(UnreachedError::Stranger)?;
        if let Some(reason) = super::check_in::ended_because(run) {
            return Err(UnreachedError::Ended { reason });
        }
        let node = run.node().ok_or(UnreachedError::NoNode)?;
        let enrolled = tables.enrolled_nodes().get(&node);
        let name = enrolled.ok_or(UnreachedError::NoNode)?.name.clone();
        Ok((run.task, node, name))
    })?;
    let live = ctx.live.node(node).ok_or(UnreachedError::NoNode)?;
    // Nothing that others read is a client's own text.
    if live.quic_address != request.address && !live.quic_addresses.contains(&request.address) {
        return Err(UnreachedError::OtherAddress(request.address.clone()));
    }
    let reason = reason(&name, &request.address, live.is_linked());
    warn!(%task, %node, reason, "a client does not reach its storage node");
    ctx.mirror.unreached(task, &reason);
    ctx.live.set_unreached(task, reason.clone());
    if request.gave_up {
        end(ctx, task, reason).await?;
    }
    Ok(UnreachedResponse {
        node: name,
        online: live.is_linked(),
    })
}

fn reason(name: &NodeName, address: &str, online: bool) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "?"));
    if online {
        format!("the machine cannot reach the node {name} (UDP {port} to {host})")
    } else {
        format!("the node {name} is offline")
    }
}

async fn end(ctx: &Ctx, task: TaskId, reason: String) -> Result<(), MoveError> {
    match moves::apply_event(ctx, task, TaskEvent::Stalled { reason }).await {
        Ok(_) => Ok(()),
        // It has ended in this moment, or waits for another node, which the client may reach.
        Err(
            error @ MoveError::Transition(
                TransitionError::AlreadyEnded | TransitionError::Illegal { .. },
            ),
        ) => {
            info!(%task, error = %chain(&error), "the client has given up; the task stays as it is");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_the_node_and_what_is_closed() {
        let name: NodeName = "north".parse().unwrap();
        assert_eq!(
            reason(&name, "10.23.0.1:7472", true),
            "the machine cannot reach the node north (UDP 7472 to 10.23.0.1)"
        );
        assert_eq!(
            reason(&name, "10.23.0.1:7472", false),
            "the node north is offline"
        );
    }
}
