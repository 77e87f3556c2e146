//! A token for one storage node, whose name belongs to it. It is good once.

use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::http::JOIN_PREFIX;
use foghorn_types::{NodeName, StorageGroupId, StorageNodeId, Timestamp};
use tracing::info;

use super::place::{NewKey, enrolled, id_of, new_node, other_with};
use super::{EnrolError, Entry};
use crate::app::one_time::{self, TokenError};
use crate::ctx::Ctx;
use crate::state::classes::StorageNode;
use crate::state::enrolment::{OneTimeToken, Purpose};
use crate::state::{Draft, Refusal};

/// A token as it is returned, once.
#[derive(Clone)]
pub struct JoinToken {
    pub text: String,
    pub node: StorageNodeId,
    pub expires: Timestamp,
}

impl std::fmt::Debug for JoinToken {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken")
            .field("node", &self.node)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
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
        let node = id_of(node)?;
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

/// An agent with such a token.
#[derive(Clone, Debug)]
pub struct One {
    token: Arc<OneTimeToken>,
    node: StorageNodeId,
    name: NodeName,
}

/// The node of the token with this text. An agent need not say its name, but none that is another one.
pub(super) fn find(ctx: &Ctx, text: &str, name: Option<&NodeName>) -> Result<One, EnrolError> {
    let token = one_time::find(ctx, JOIN_PREFIX, text, None)?;
    let Purpose::Join { node, name: own } = &token.purpose else {
        return Err(TokenError::Unknown.into());
    };
    let (node, own) = (*node, own.clone());
    match name {
        Some(name) if *name != own => Err(EnrolError::OtherName {
            own,
            name: name.clone(),
        }),
        _ => Ok(One {
            token,
            node,
            name: own,
        }),
    }
}

impl One {
    pub(super) const fn name(&self) -> &NodeName {
        &self.name
    }

    pub(super) fn enter(
        &self,
        draft: &mut Draft<'_>,
        key: &str,
        now: Timestamp,
    ) -> Result<Entry, EnrolError> {
        let node = self.node;
        let Some(row) = draft.tables().of::<StorageNode>().get(node.get()) else {
            return Err(EnrolError::NodeGone);
        };
        // Of two agents with one name in their certificates, the second would shut out the first, and a
        // revocation of the first one's node the second.
        if let Some(other) = other_with(draft.tables(), &self.name, node) {
            return Err(EnrolError::NameOfAnother {
                name: self.name.clone(),
                other: other.name.clone(),
            });
        }
        one_time::spend(draft, &self.token, now, None)?;
        draft.unchanged(row);
        let known = draft.tables().enrolled_nodes().get(&node);
        let modified = known.map_or(0, |known| known.modified);
        let key = NewKey::joined(key, now);
        draft.replace(&enrolled(node, &self.name, &key, modified));
        // An operator has said that this agent takes the place of the one before, whose certificate is
        // older from now on. `foghorn serve` says so of its own at every start.
        Ok(Entry {
            node,
            replaces: false,
        })
    }
}
