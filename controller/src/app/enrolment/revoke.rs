//! Shutting a storage node out.

use foghorn_types::{NodeName, StorageNodeId, Timestamp};
use tracing::info;

use crate::ctx::Ctx;
use crate::state::classes::StorageNode;
use crate::state::enrolment::{EnrolledNode, OneTimeToken, Standing};
use crate::state::shelf::Record as _;
use crate::state::{Refusal, Tables};

/// Revokes a node: its link is closed and its certificate is refused from now on, until it joins
/// with a new token. One that has not enrolled yet is not let in by a token for many nodes, nor by
/// the word of a cluster.
///
/// # Errors
/// When the node does not exist, or the store fails.
pub async fn revoke(ctx: &Ctx, node: StorageNodeId) -> Result<(), Refusal> {
    ctx.state
        .write::<_, Refusal>(|draft| {
            let standing = revoked(draft.tables(), node)?;
            // An unused token would admit the node again, also one that is being made.
            draft.take_turn_of::<StorageNode>(node.get());
            let tokens: Vec<OneTimeToken> = draft
                .tables()
                .tokens()
                .unused_of(node)
                .map(|token| OneTimeToken::clone(token))
                .collect();
            for token in tokens {
                draft.replace(&OneTimeToken {
                    used: Some(Timestamp::now()),
                    ..token
                });
            }
            match draft.tables().enrolled_nodes().get(&node) {
                // Another node may have its name by now, and whoever was revoked last counts.
                Some(known) if known.is_revoked() => draft.require(known.unchanged()),
                _ => draft.replace(&standing),
            }
            Ok(())
        })
        .await?;
    foghorn_faults::wait!("controller.revoke.stored");
    info!(%node, "storage node revoked");
    ctx.links.cut(node);
    Ok(())
}

/// What is stored of the node from now on.
fn revoked(tables: &Tables, node: StorageNodeId) -> Result<EnrolledNode, Refusal> {
    let known = tables.enrolled_nodes().get(&node);
    let row = tables.storage_nodes().get(node.get());
    if known.is_none() && row.is_none() {
        return Err(Refusal::NotFound {
            class: "storagenode",
            id: node.get(),
        });
    }
    let of_row = || row.and_then(|row| row.name.parse::<NodeName>().ok());
    let name = known.map_or_else(of_row, |known| Some(known.name.clone()));
    Ok(EnrolledNode {
        node,
        name: name.unwrap_or_else(|| nobodys_name(node)),
        standing: Standing::Revoked {
            at: Timestamp::now(),
        },
        key: known.and_then(|known| known.key.clone()),
        vouched: known.is_some_and(|known| known.vouched),
        named_after: known.and_then(|known| known.named_after.clone()),
        modified: known.map_or(0, |known| known.modified),
    })
}

/// Of a node whose row has a name that no agent can have. The row may get another one, and the node
/// stays out.
fn nobodys_name(node: StorageNodeId) -> NodeName {
    let name = format!("revoked-storage-node-{node}").parse();
    name.expect("letters, hyphens and a number are a name of a node")
}
