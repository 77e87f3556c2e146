//! Tokens for the API of factories: made, checked, listed, revoked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{FactoryTokenId, Role, StorageGroupId, Timestamp};
use tracing::info;

use super::filter::Reach;
use crate::app::accounts::{self, AccountError};
use crate::state::classes::{StorageGroup, User};
use crate::state::machines::scope::Scope;
use crate::state::machines::token::{FactoryToken, SEQUENCE};
use crate::state::value::Flag;
use crate::state::{Refusal, State, Tables};

/// Tokens at a time.
pub const MOST_TOKENS: usize = 10_000;
/// Bytes of a description.
pub const LONGEST_DESCRIPTION: usize = 200;

/// What a new token may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Number of the user who acts with it.
    pub user: u32,
    pub description: String,
    pub scopes: BTreeSet<Scope>,
    /// Names of factories; empty: all.
    pub factories: Vec<String>,
    /// `None`: for ever.
    pub ttl: Option<Duration>,
}

/// A token as it is returned, once.
#[derive(Clone)]
pub struct Created {
    pub id: FactoryTokenId,
    pub text: String,
    pub expires: Option<Timestamp>,
}

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("user {0} does not exist")]
    NoUser(u32),
    #[error("there is no factory {0:?}")]
    NoFactory(String),
    #[error("a token needs a scope: without one it may do nothing")]
    NoScope,
    #[error("scope {scope}: a user whose role is {role} may not do that, with a token either")]
    Scope { scope: Scope, role: Role },
    #[error("description: at most {LONGEST_DESCRIPTION} bytes are kept")]
    LongDescription,
    #[error("there are {MOST_TOKENS} factory tokens already: revoke some of them")]
    TooMany,
    #[error("the token could not be made")]
    Token(#[source] AccountError),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Who has sent a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    pub token: FactoryTokenId,
    /// Number of the user.
    pub user: u32,
    pub name: String,
    pub role: Role,
    pub reach: Reach,
    /// Those that the role of the user allows today.
    pub scopes: BTreeSet<Scope>,
}

/// Why a token is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not known: it may have been revoked")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the user of the token does not exist any more, or may not use the API")]
    NoUser,
}

/// Why a caller may not do something.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forbidden {
    #[error("the token lacks the scope {0}")]
    Scope(Scope),
    #[error("the token is not for this factory")]
    Factory,
}

impl Caller {
    /// Whether the caller may do this, in this factory if it is about one.
    ///
    /// # Errors
    /// [`Forbidden`]
    pub fn may(&self, scope: Scope, factory: Option<StorageGroupId>) -> Result<(), Forbidden> {
        if !self.scopes.iter().any(|own| own.includes(scope)) {
            return Err(Forbidden::Scope(scope));
        }
        match factory {
            Some(factory) if !self.reach.has(factory) => Err(Forbidden::Factory),
            _ => Ok(()),
        }
    }
}

/// Makes a token.
///
/// # Errors
/// See [`CreateError`].
pub async fn create(state: &State, terms: &Terms) -> Result<Created, CreateError> {
    if terms.scopes.is_empty() {
        return Err(CreateError::NoScope);
    }
    if terms.description.len() > LONGEST_DESCRIPTION {
        return Err(CreateError::LongDescription);
    }
    let text = accounts::token().map_err(CreateError::Token)?;
    let created = Timestamp::now();
    let expires = terms.ttl.map(|ttl| created + ttl);
    let id = state.write::<_, CreateError>(|draft| {
        let tables = draft.tables();
        if tables.factory_tokens().len() >= MOST_TOKENS {
            return Err(CreateError::TooMany);
        }
        let user = tables.of::<User>().get(terms.user);
        let user = user.ok_or(CreateError::NoUser(terms.user))?;
        draft.unchanged(user);
        let role = user.role();
        if let Some(scope) = terms.scopes.iter().find(|scope| !scope.is_of(role)) {
            return Err(CreateError::Scope {
                scope: *scope,
                role,
            });
        }
        let factories = factories(tables, &terms.factories)?;
        for factory in &factories {
            draft.require_present::<StorageGroup>(factory.get());
        }
        let number = draft.next_id_of(SEQUENCE);
        let id = FactoryTokenId::new(number).ok_or(Refusal::NotFound {
            class: SEQUENCE,
            id: number,
        })?;
        draft.replace(&FactoryToken {
            id,
            hash: crate::state::settings::hash_token(&text),
            user: terms.user,
            description: terms.description.clone(),
            scopes: terms.scopes.clone(),
            factories,
            created,
            expires,
            modified: 0,
        });
        Ok(id)
    });
    let id = id.await?;
    info!(%id, user = terms.user, "factory token created");
    Ok(Created { id, text, expires })
}

fn factories(tables: &Tables, names: &[String]) -> Result<BTreeSet<StorageGroupId>, CreateError> {
    let one = |name: &String| {
        let factory = super::factories::named(tables, name);
        factory.ok_or_else(|| CreateError::NoFactory(name.clone()))
    };
    names.iter().map(one).collect()
}

/// Who has sent this token.
///
/// # Errors
/// See [`TokenError`].
pub fn check(tables: &Tables, text: &str, now: Timestamp) -> Result<Caller, TokenError> {
    let token = tables.factory_tokens().find(text);
    let token = token.ok_or(TokenError::Unknown)?;
    if token.has_expired(now) {
        return Err(TokenError::Expired);
    }
    let user = tables.of::<User>().get(token.user);
    let user = user
        .filter(|user| user.api == Flag::Yes)
        .ok_or(TokenError::NoUser)?;
    let role = user.role();
    let scopes = token.scopes.iter().filter_map(|scope| scope.within(role));
    Ok(Caller {
        token: token.id,
        user: token.user,
        name: user.name.clone(),
        role,
        reach: match token.factories.is_empty() {
            true => Reach::All,
            false => Reach::Only(token.factories.clone()),
        },
        scopes: scopes.collect(),
    })
}

/// All tokens, by number.
#[must_use]
pub fn list(tables: &Tables) -> Vec<Arc<FactoryToken>> {
    tables.factory_tokens().iter().cloned().collect()
}

/// Revokes a token: it is not accepted from now on.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or what the store says.
pub async fn revoke(state: &State, id: FactoryTokenId) -> Result<(), Refusal> {
    let revoked = state.write::<_, Refusal>(|draft| {
        let token = draft.tables().factory_tokens().get(&id);
        let token = token.ok_or(Refusal::NotFound {
            class: "factory token",
            id: id.get(),
        })?;
        draft.discard(&**token);
        Ok(())
    });
    revoked.await?;
    info!(%id, "factory token revoked");
    Ok(())
}
