//! Storage nodes that take no tasks for now: cordoned by an operator, or refused because two
//! machines use their certificate.

use foghorn_types::{StorageNodeId, Timestamp};
use tracing::{info, warn};

use super::history;
use crate::ctx::Ctx;
use crate::state::classes::StorageNode;
use crate::state::node_hold::{Cordon, NodeHold};
use crate::state::{Draft, Refusal, Tables};

/// Whether the node may be given new tasks.
#[must_use]
pub fn takes_tasks(tables: &Tables, row: &StorageNode) -> bool {
    let hold = row.key().and_then(|node| tables.node_holds().get(&node));
    row.is_enabled.is_yes() && hold.is_none_or(|hold| hold.is_none())
}

/// Changes what holds a node.
fn change(
    draft: &mut Draft<'_>,
    node: StorageNodeId,
    change: impl FnOnce(&mut NodeHold),
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let row = tables.storage_nodes().get(node.get());
    let row = row.ok_or(Refusal::NotFound {
        class: "storagenode",
        id: node.get(),
    })?;
    // Whoever gives a place away has looked at the hold.
    draft.take_turn_of::<StorageNode>(row.id);
    let known = tables.node_holds().get(&node);
    let before = known.map_or_else(|| NodeHold::none(node), |hold| NodeHold::clone(hold));
    let mut after = before.clone();
    change(&mut after);
    match (after == before, after.is_none()) {
        (true, _) => {}
        (false, true) => draft.discard(&after),
        (false, false) => draft.replace(&after),
    }
    Ok(())
}

/// Gives a node no new tasks from now on. What waits there for its machine goes elsewhere, if it can;
/// what runs ends there.
///
/// # Errors
/// When the node does not exist, or the store fails.
pub async fn cordon(ctx: &Ctx, node: StorageNodeId, reason: &str) -> Result<(), Refusal> {
    let at = Timestamp::now();
    let cordoned = |hold: &mut NodeHold| {
        let since = hold.cordoned.as_ref().map_or(at, |cordon| cordon.at);
        hold.cordoned = Some(Cordon {
            at: since,
            reason: reason.to_owned(),
        });
    };
    ctx.state
        .write(|draft| change(draft, node, cordoned))
        .await?;
    info!(%node, reason, "storage node cordoned");
    Ok(())
}

/// The node may be given tasks again.
///
/// # Errors
/// As [`cordon`].
pub async fn uncordon(ctx: &Ctx, node: StorageNodeId) -> Result<(), Refusal> {
    let free = |hold: &mut NodeHold| hold.cordoned = None;
    ctx.state.write(|draft| change(draft, node, free)).await?;
    info!(%node, "storage node uncordoned");
    Ok(())
}

/// Takes the links of a node's certificate again: an operator says that one machine uses it.
///
/// # Errors
/// As [`cordon`].
pub async fn readmit(ctx: &Ctx, node: StorageNodeId) -> Result<(), Refusal> {
    let free = |hold: &mut NodeHold| hold.cloned = None;
    ctx.state.write(|draft| change(draft, node, free)).await?;
    ctx.live.forget_machines(node);
    info!(%node, "storage node readmitted");
    Ok(())
}

/// The certificate that two machines used is of no use any more: the node has enrolled anew, with a
/// key of its own.
///
/// # Errors
/// As [`cordon`].
pub(crate) fn end_cloned(draft: &mut Draft<'_>, node: StorageNodeId) -> Result<(), Refusal> {
    let hold = draft.tables().node_holds().get(&node);
    match hold.is_some_and(|hold| hold.cloned.is_some()) {
        true => change(draft, node, |hold| hold.cloned = None),
        false => Ok(()),
    }
}

/// Two machines use the certificate of a node in turns: neither is believed until an operator
/// decides.
///
/// # Errors
/// As [`cordon`].
pub(crate) async fn refuse_clones(ctx: &Ctx, node: StorageNodeId) -> Result<(), Refusal> {
    let now = Timestamp::now();
    let told = ctx.state.write(|draft| {
        let is_known = draft.tables().node_holds().get(&node);
        if is_known.is_some_and(|hold| hold.cloned.is_some()) {
            return Ok(false);
        }
        change(draft, node, |hold| hold.cloned = Some(now))?;
        history::cloned(draft, node, now)?;
        Ok::<_, Refusal>(true)
    });
    if told.await? {
        warn!(%node, "two machines use the certificate of a storage node; both are refused");
    }
    ctx.links.cut(node);
    Ok(())
}
