//! Tokens for many storage nodes (decision 25): each agent says its own name, and a token lets in so
//! many whose names fit. A name is whose who has enrolled with it: nobody takes the place of another
//! agent with such a token.

use std::time::Duration;

use foghorn_proto::http::{MANY_JOIN_PREFIX, TokenText};
use foghorn_types::{JoinTokenId, NamePattern, NodeName, StorageGroupId, Timestamp};
use tracing::info;

use super::place::{NewKey, Place};
use super::{EnrolError, Entry};
use crate::app::one_time::{self, REPEAT_WITHIN, TokenError};
use crate::ctx::Ctx;
use crate::state::classes::StorageGroup;
use crate::state::join_token::{ManyToken, SEQUENCE};
use crate::state::{Draft, Refusal};

/// Tokens of this kind at a time.
pub const MOST_TOKENS: usize = 1000;
/// Storage nodes that one token may let in.
pub const MOST_NODES: u32 = 10_000;

/// What a new token lets in.
#[derive(Clone, Debug)]
pub struct Terms {
    pub names: NamePattern,
    pub count: u32,
    /// Of nodes that it makes; `None`: the first group.
    pub group: Option<StorageGroupId>,
    pub ttl: Duration,
}

/// A token as it is returned, once.
#[derive(Clone)]
pub struct Created {
    pub id: JoinTokenId,
    pub text: String,
    pub expires: Timestamp,
}

impl std::fmt::Debug for Created {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("must be between 1 and {MOST_NODES}")]
    Count,
    #[error("there are {MOST_TOKENS} join tokens for many nodes already: delete some of them")]
    TooMany,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Makes a token.
///
/// # Errors
/// See [`CreateError`].
pub async fn create(ctx: &Ctx, terms: &Terms) -> Result<Created, CreateError> {
    if !(1..=MOST_NODES).contains(&terms.count) {
        return Err(CreateError::Count);
    }
    let secret = one_time::secret();
    let created = Timestamp::now();
    let expires = created + terms.ttl;
    let id = ctx.state.write::<_, CreateError>(|draft| {
        if draft.tables().join_tokens().len() >= MOST_TOKENS {
            return Err(CreateError::TooMany);
        }
        if let Some(group) = terms.group {
            let groups = draft.tables().of::<StorageGroup>();
            let group = groups.get(group.get()).ok_or(Refusal::NotFound {
                class: "storagegroup",
                id: group.get(),
            })?;
            draft.unchanged(group);
        }
        let number = draft.next_id_of(SEQUENCE);
        let id = JoinTokenId::new(number).ok_or(Refusal::NotFound {
            class: "join token",
            id: number,
        })?;
        draft.replace(&ManyToken {
            id,
            hash: ManyToken::hash_of(&secret),
            names: terms.names.clone(),
            count: terms.count,
            used: 0,
            storage_group: terms.group,
            created,
            expires,
            modified: 0,
        });
        Ok(id)
    });
    let id = id.await?;
    if foghorn_faults::lost!("controller.join-token.many-stored") {
        return Err(Refusal::Lagging.into());
    }
    let (names, count) = (&terms.names, terms.count);
    info!(%id, %names, count, %expires, "join token for many nodes created");
    Ok(Created {
        id,
        text: one_time::text(&ctx.trust, MANY_JOIN_PREFIX, secret),
        expires,
    })
}

/// Deletes a token: it lets in nobody from now on. Those that it has let in stay.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or what the store says.
pub async fn delete(ctx: &Ctx, id: JoinTokenId) -> Result<(), Refusal> {
    let deleted = ctx.state.write::<_, Refusal>(|draft| {
        let token = draft.tables().join_tokens().get(&id);
        let token = token.ok_or(Refusal::NotFound {
            class: "join token",
            id: id.get(),
        })?;
        draft.discard(&**token);
        Ok(())
    });
    deleted.await?;
    if foghorn_faults::lost!("controller.join-token.deleted") {
        return Err(Refusal::Lagging);
    }
    info!(%id, "join token for many nodes deleted");
    Ok(())
}

/// An agent with such a token, and the name that it says.
#[derive(Clone, Debug)]
pub struct Many {
    token: JoinTokenId,
    name: NodeName,
}

/// The token with this text.
pub(super) fn find(
    ctx: &Ctx,
    text: &TokenText,
    name: Option<&NodeName>,
) -> Result<Many, EnrolError> {
    if text.ca_fingerprint != ctx.trust.ca_fingerprint() {
        return Err(TokenError::OtherAuthority.into());
    }
    let find = |tables: &crate::state::Tables| {
        let token = tables.join_tokens().find(&text.secret)?;
        Some(token.id)
    };
    let token = ctx.state.read(find).ok_or(TokenError::Unknown)?;
    let name = name.ok_or(EnrolError::NoName)?.clone();
    Ok(Many { token, name })
}

impl Many {
    pub(super) const fn name(&self) -> &NodeName {
        &self.name
    }

    /// Takes one of the places of the token. The same agent that asks again, because the answer was
    /// lost, takes no second one, and is answered for a while when the time of the token is over.
    pub(super) fn enter(
        &self,
        draft: &mut Draft<'_>,
        key: &str,
        now: Timestamp,
    ) -> Result<Entry, EnrolError> {
        let (tables, name) = (draft.tables(), &self.name);
        let token = tables.join_tokens().get(&self.token);
        let token = token.ok_or(TokenError::Unknown)?;
        if !token.names.matches(name) {
            return Err(EnrolError::OtherNames {
                names: token.names.clone(),
                name: name.clone(),
            });
        }
        let place = Place::of(tables, name);
        let is_over = token.expires <= now;
        if let Some((node, since)) = place.enrolled_with(key)
            && (!is_over || now.since(since) <= REPEAT_WITHIN)
        {
            return Ok(Entry {
                node,
                replaces: false,
            });
        }
        if is_over {
            return Err(TokenError::Expired.into());
        }
        if place.is_revoked() {
            return Err(EnrolError::Revoked { name: name.clone() });
        }
        if place.is_taken() {
            return Err(EnrolError::NameTaken { name: name.clone() });
        }
        if token.left() == 0 {
            return Err(EnrolError::UsedUp { count: token.count });
        }
        let node = place
            .take(draft, token.storage_group, &NewKey::joined(key, now))
            .map_err(|refusal| no_group(refusal, name))?;
        draft.replace(&ManyToken {
            used: token.used + 1,
            ..ManyToken::clone(token)
        });
        Ok(Entry {
            node,
            replaces: false,
        })
    }
}

/// That the group of a new node is gone, in words for whoever sees the agent's log.
fn no_group(refusal: Refusal, name: &NodeName) -> EnrolError {
    match refusal {
        Refusal::NotFound {
            class: "storagegroup",
            id,
        } => EnrolError::NoGroup {
            name: name.clone(),
            group: format!("number {id}"),
        },
        other => other.into(),
    }
}
