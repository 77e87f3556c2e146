//! Machine tokens: made, listed, deleted. What one buys is in [`super::enrol`].

use std::sync::Arc;
use std::time::Duration;

use foghorn_proto::http::HOST_PREFIX;
use foghorn_types::{HostId, HostTokenId, StorageGroupId, Timestamp};
use tracing::info;

use super::factories;
use super::filter::Reach;
use crate::app::one_time;
use crate::ctx::Ctx;
use crate::state::classes::{Host, StorageGroup};
use crate::state::machines::host_token::{HostToken, SEQUENCE};
use crate::state::{Refusal, Tables};

/// Tokens at a time.
pub const MOST_TOKENS: usize = 10_000;
/// Machines that one token may let in.
pub const MOST_MACHINES: u32 = 10_000;

/// What a new token lets in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The only host that it is for.
    pub host: Option<HostId>,
    /// Name of the factory; `None`: that of the host's device, or the only one that there is.
    pub factory: Option<String>,
    pub count: u32,
    pub ttl: Duration,
    /// Number of the user who makes it.
    pub by: u32,
}

/// A token as it is returned, once.
#[derive(Clone)]
pub struct Created {
    pub id: HostTokenId,
    pub text: String,
    pub factory: StorageGroupId,
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
    #[error("must be between 1 and {MOST_MACHINES}")]
    Count,
    #[error("a token for one host is good once")]
    CountOfOne,
    #[error("host {0} does not exist")]
    NoHost(HostId),
    #[error("factory {0:?} does not exist")]
    NoFactory(String),
    #[error("there are several factories: say which one the machine is to belong to")]
    WhichFactory,
    #[error("host {host} is a device of the factory {own:?} already")]
    OtherFactory { host: HostId, own: String },
    #[error("there are {MOST_TOKENS} machine tokens already: delete some of them")]
    TooMany,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Makes a token.
///
/// # Errors
/// See [`CreateError`].
pub async fn create(ctx: &Ctx, terms: &Terms) -> Result<Created, CreateError> {
    if !(1..=MOST_MACHINES).contains(&terms.count) {
        return Err(CreateError::Count);
    }
    if terms.host.is_some() && terms.count != 1 {
        return Err(CreateError::CountOfOne);
    }
    let secret = one_time::secret();
    let created = Timestamp::now();
    let expires = created + terms.ttl;
    let made = ctx.state.write::<_, CreateError>(|draft| {
        let tables = draft.tables();
        // Those of deploys come and go by themselves.
        let made = tables
            .host_tokens()
            .iter()
            .filter(|token| token.task.is_none());
        if made.count() >= MOST_TOKENS {
            return Err(CreateError::TooMany);
        }
        if let Some(host) = terms.host {
            if tables.hosts().get(host.get()).is_none() {
                return Err(CreateError::NoHost(host));
            }
            draft.require_present::<Host>(host.get());
        }
        let factory = factory(tables, terms)?;
        draft.require_present::<StorageGroup>(factory.get());
        let number = draft.next_id_of(SEQUENCE);
        let id = HostTokenId::new(number).ok_or(Refusal::NotFound {
            class: SEQUENCE,
            id: number,
        })?;
        draft.replace(&HostToken {
            id,
            hash: HostToken::hash_of(&secret),
            factory,
            host: terms.host,
            task: None,
            count: terms.count,
            used: 0,
            by: terms.by,
            created,
            expires,
            modified: 0,
        });
        Ok((id, factory))
    });
    let (id, factory) = made.await?;
    info!(%id, %factory, count = terms.count, %expires, "machine token created");
    Ok(Created {
        id,
        text: one_time::text(&ctx.trust, HOST_PREFIX, secret),
        factory,
        expires,
    })
}

fn factory(tables: &Tables, terms: &Terms) -> Result<StorageGroupId, CreateError> {
    let device = terms.host.and_then(|host| tables.devices().of_host(host));
    let Some(name) = &terms.factory else {
        if let Some(device) = device {
            return Ok(device.factory);
        }
        let mut all = factories::all(tables, &Reach::All).into_iter();
        return match (all.next(), all.next()) {
            (Some(only), None) => Ok(only.id),
            _ => Err(CreateError::WhichFactory),
        };
    };
    let named = factories::named(tables, name);
    let named = named.ok_or_else(|| CreateError::NoFactory(name.clone()))?;
    match (device, terms.host) {
        (Some(device), Some(host)) if device.factory != named => Err(CreateError::OtherFactory {
            host,
            own: factories::name_of(tables, device.factory),
        }),
        _ => Ok(named),
    }
}

/// All tokens, by number.
#[must_use]
pub fn list(tables: &Tables) -> Vec<Arc<HostToken>> {
    tables.host_tokens().iter().cloned().collect()
}

/// Deletes a token: it lets in nobody from now on. What has enrolled with it stays.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or what the store says.
pub async fn delete(ctx: &Ctx, id: HostTokenId) -> Result<(), Refusal> {
    let deleted = ctx.state.write::<_, Refusal>(|draft| {
        let token = draft.tables().host_tokens().get(&id);
        let token = token.ok_or(Refusal::NotFound {
            class: "machine token",
            id: id.get(),
        })?;
        draft.discard(&**token);
        Ok(())
    });
    deleted.await?;
    info!(%id, "machine token deleted");
    Ok(())
}
