//! Enrolment and revocation of storage nodes.

use std::time::Duration;

use foghorn_proto::http::{EnrolRequest, EnrolResponse, JOIN_PREFIX};
use foghorn_types::{NodeName, StorageGroupId, StorageNodeId, Timestamp};
use tracing::info;

use super::one_time::{self, TokenError};
use crate::ctx::Ctx;
use crate::state::classes::{StorageGroup, StorageNode};
use crate::state::enrolment::{EnrolledNode, OneTimeToken, Purpose, Standing};
use crate::state::value::Flag;
use crate::state::{Draft, Refusal};
use crate::trust::IssueError;

/// A token as it is returned, once.
#[derive(Clone, Debug)]
pub struct JoinToken {
    pub text: String,
    pub node: StorageNodeId,
    pub expires: Timestamp,
}

/// Why an agent could not enrol.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the certificate request is invalid")]
    Request(#[source] IssueError),
    #[error("could not issue a certificate")]
    Issue(#[source] IssueError),
    #[error("the storage node of this token no longer exists")]
    NodeGone,
    #[error("could not store the enrolment")]
    State(#[from] Refusal),
}

/// A token for the storage node `name`, which is created if it does not exist: in `group`, or in
/// the first group.
///
/// # Errors
/// When there is no such group, or the store fails.
pub async fn join_token(
    ctx: &Ctx,
    name: &NodeName,
    group: Option<StorageGroupId>,
    ttl: Duration,
) -> Result<JoinToken, Refusal> {
    let secret = one_time::secret();
    let expires = Timestamp::now() + ttl;
    let node = ctx.state.write::<_, Refusal>(|draft| {
        let node = match draft.tables().of::<StorageNode>().named(name.as_str()) {
            Some(row) => row.id,
            None => new_node(draft, name, group)?,
        };
        let node = StorageNodeId::new(node).ok_or(Refusal::NotFound {
            class: "storagenode",
            id: 0,
        })?;
        // Whoever revokes the node at the same time sees the token, and the node is not deleted.
        draft.take_turn_of::<StorageNode>(node.get());
        if draft.tables().storage_nodes().get(node.get()).is_some() {
            draft.require_present::<StorageNode>(node.get());
        }
        let token = OneTimeToken::new(
            &secret,
            Purpose::Join {
                node,
                name: name.clone(),
            },
            expires,
        );
        draft.replace(&token);
        Ok(node)
    });
    let node = node.await?;
    if foghorn_faults::lost!("controller.join-token.stored") {
        return Err(Refusal::Lagging);
    }
    info!(%node, %name, %expires, "join token created");
    Ok(JoinToken {
        text: one_time::text(&ctx.trust, JOIN_PREFIX, secret),
        node,
        expires,
    })
}

fn new_node(
    draft: &mut Draft<'_>,
    name: &NodeName,
    group: Option<StorageGroupId>,
) -> Result<u32, Refusal> {
    let groups = draft.tables().of::<StorageGroup>();
    let group = match group {
        Some(id) => groups.get(id.get()).ok_or(Refusal::NotFound {
            class: "storagegroup",
            id: id.get(),
        })?,
        None => groups.iter().next().ok_or(Refusal::Missing {
            field: "storage_group",
        })?,
    };
    // A group cannot store anything until it has a master.
    let master = !draft
        .tables()
        .of::<StorageNode>()
        .iter()
        .any(|row| row.storagegroup == group.id && row.is_master.is_yes());
    draft.unchanged(group);
    if master {
        // Two new nodes are not both the first one.
        draft.take_turn_of::<StorageGroup>(group.id);
    }
    draft.insert(StorageNode {
        name: name.to_string(),
        storagegroup: group.id,
        is_master: Flag::from(master),
        is_enabled: Flag::Yes,
        max_clients: MAX_CLIENTS,
        ..StorageNode::default()
    })
}

/// Default of the maximum number of concurrent transfers on a node.
const MAX_CLIENTS: i64 = 10;

/// Redeems a join token and returns a certificate.
///
/// # Errors
/// See [`EnrolError`]; the token is used up only by a success.
pub async fn enrol(ctx: &Ctx, request: &EnrolRequest) -> Result<EnrolResponse, EnrolError> {
    let token = one_time::find(ctx, JOIN_PREFIX, &request.join_token, None)?;
    let Purpose::Join { node, name } = &token.purpose else {
        return Err(TokenError::Unknown.into());
    };
    let (node, name) = (*node, name.clone());
    let issued = ctx
        .trust
        .issue_node(&name, &request.csr_pem)
        .map_err(|error| {
            if error.is_bad_request() {
                EnrolError::Request(error)
            } else {
                EnrolError::Issue(error)
            }
        })?;
    foghorn_faults::wait!("controller.enrol.before");
    let outcome = ctx.state.write(|draft| {
        let now = Timestamp::now();
        let Some(row) = draft.tables().of::<StorageNode>().get(node.get()) else {
            return Err(EnrolError::NodeGone);
        };
        one_time::spend(draft, &token, now, None)?;
        draft.unchanged(row);
        let modified = draft
            .tables()
            .enrolled_nodes()
            .get(&node)
            .map_or(0, |known| known.modified);
        let enrolled = EnrolledNode {
            node,
            name: name.clone(),
            standing: Standing::Enrolled { at: now },
            modified,
        };
        draft.replace(&enrolled);
        Ok(())
    });
    outcome.await?;
    if foghorn_faults::lost!("controller.enrol.stored") {
        return Err(Refusal::Lagging.into());
    }
    info!(%node, %name, not_after = %issued.not_after, "storage node enrolled");
    Ok(EnrolResponse {
        node: name,
        node_id: node,
        chain_pem: issued.chain_pem,
        link_address: ctx.settings.link_address.clone(),
        link_server_name: ctx.settings.link_server_name.clone(),
    })
}

/// Revokes a node: its link is closed and its certificate is refused from now on, until it joins
/// with a new token.
///
/// # Errors
/// When the node does not exist, or the store fails.
pub async fn revoke(ctx: &Ctx, node: StorageNodeId) -> Result<(), Refusal> {
    ctx.state
        .write(|draft| {
            let tables = draft.tables();
            let known = tables.enrolled_nodes().get(&node).cloned();
            if known.is_none() && tables.storage_nodes().get(node.get()).is_none() {
                return Err(Refusal::NotFound {
                    class: "storagenode",
                    id: node.get(),
                });
            }
            // An unused token would admit the node again, also one that is being made.
            draft.take_turn_of::<StorageNode>(node.get());
            let tokens: Vec<OneTimeToken> = tables
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
            if let Some(known) = known {
                let standing = Standing::Revoked {
                    at: Timestamp::now(),
                };
                draft.replace(&EnrolledNode {
                    standing,
                    ..EnrolledNode::clone(&known)
                });
            }
            Ok(())
        })
        .await?;
    foghorn_faults::wait!("controller.revoke.stored");
    info!(%node, "storage node revoked");
    ctx.links.cut(node);
    Ok(())
}
