//! The identity that a deploy puts on the disk: who is to get one, and the machine token in the order of the
//! client that writes it.
//!
//! The token is good for the host of the deploy, once, and as long as the deploy goes on. It follows from the
//! bearer of the client, which is stored nowhere: who asks with the same bearer is told the same token.

use data_encoding::BASE64URL_NOPAD;
use foghorn_lifecycle::TaskState;
use foghorn_proto::http::HOST_PREFIX;
use foghorn_types::{DiskPart, HostTokenId, StorageGroupId, Timestamp};

use crate::app::one_time;
use crate::ctx::Ctx;
use crate::state::classes::{Host, Image, StorageGroup};
use crate::state::machines::host_token::{HostToken, SEQUENCE};
use crate::state::machines::identity::{IdentityChoice, IdentityOf};
use crate::state::run::{Run, RunKind};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, Tables};

/// Why it was not chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    #[error(
        "this controller has no gateway of devices, so no machine can get an identity: set dialects.foundries.gateway"
    )]
    NoGateway,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Says whether deploys of the image, or to the host, put an identity on the disk. `None`: nothing is said, as
/// before.
///
/// # Errors
/// See [`ChooseError`].
pub async fn choose(ctx: &Ctx, of: IdentityOf, wanted: Option<bool>) -> Result<(), ChooseError> {
    if wanted == Some(true) && ctx.settings.gateway_address.is_none() {
        return Err(ChooseError::NoGateway);
    }
    let written = ctx.state.write::<_, Refusal>(|draft| {
        must_be_there(draft, of)?;
        let stored = draft.tables().identity_choices().get(&of);
        match (wanted, stored) {
            (Some(wanted), stored) => draft.replace(&IdentityChoice {
                of,
                wanted,
                modified: stored.map_or(0, |stored| stored.modified),
            }),
            (None, Some(stored)) => draft.discard(&**stored),
            (None, None) => {}
        }
        Ok(())
    });
    Ok(written.await?)
}

fn must_be_there(draft: &mut Draft<'_>, of: IdentityOf) -> Result<(), Refusal> {
    let tables = draft.tables();
    let (class, id, is_there) = match of {
        IdentityOf::Image(image) => {
            let id = image.get();
            draft.require_present::<Image>(id);
            ("image", id, tables.images().get(id).is_some())
        }
        IdentityOf::Host(host) => {
            let id = host.get();
            draft.require_present::<Host>(id);
            ("host", id, tables.hosts().get(id).is_some())
        }
    };
    match is_there {
        true => Ok(()),
        false => Err(Refusal::NotFound { class, id }),
    }
}

/// What was said of one image or host; `None` when nothing was.
#[must_use]
pub fn chosen(tables: &Tables, of: IdentityOf) -> Option<bool> {
    let choice = tables.identity_choices().get(&of);
    choice.map(|choice| choice.wanted)
}

/// Whether the client of this run puts an identity on the disk.
#[must_use]
pub fn is_wanted(tables: &Tables, run: &Run) -> bool {
    let writes_files =
        matches!(run.kind, RunKind::Deploy { .. }) && run.scope.part != DiskPart::Table;
    let said = || {
        chosen(tables, IdentityOf::Host(run.host))
            .or_else(|| chosen(tables, IdentityOf::Image(run.image)))
    };
    writes_files && said().unwrap_or_default()
}

/// Makes the token for the client that has this bearer, in place of that of a client before.
pub(crate) fn give(
    draft: &mut Draft<'_>,
    run: &Run,
    session: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let tables = draft.tables();
    let all = tables.host_tokens().iter();
    for before in all.filter(|token| token.task == Some(run.task)) {
        draft.discard(&**before);
    }
    if !is_wanted(tables, run) {
        return Ok(());
    }
    let number = draft.next_id_of(SEQUENCE);
    let id = HostTokenId::new(number).ok_or(Refusal::NotFound {
        class: SEQUENCE,
        id: number,
    })?;
    draft.replace(&HostToken {
        id,
        hash: HostToken::hash_of(&secret(session)),
        factory: factory(tables, run),
        host: Some(run.host),
        task: Some(run.task),
        count: 1,
        used: 0,
        // Nobody: a deploy may be ordered by a policy.
        by: 0,
        created: now,
        expires: run.deadline(),
        modified: 0,
    });
    Ok(())
}

/// That of the device that the host is already, else the site of the host, else that of the image.
fn factory(tables: &Tables, run: &Run) -> StorageGroupId {
    let home = run.home.map(|home| home.site);
    let groups = tables.of::<StorageGroup>();
    let home = home.filter(|site| groups.get(site.get()).is_some());
    let device = tables.devices().of_host(run.host);
    let own = device.map(|device| device.factory);
    own.or(home).unwrap_or(run.storage_group)
}

/// The token that was made for the client with this bearer.
#[must_use]
pub(crate) fn token(ctx: &Ctx, tables: &Tables, run: &Run, session: &str) -> Option<String> {
    let secret = secret(session);
    let token = tables.host_tokens().find(&secret)?;
    (token.task == Some(run.task)).then(|| one_time::text(&ctx.trust, HOST_PREFIX, secret))
}

fn secret(session: &str) -> String {
    let mut hash = blake3::Hasher::new_derive_key("foghorn 2026-12 machine token of a deploy");
    hash.update(session.as_bytes());
    BASE64URL_NOPAD.encode(hash.finalize().as_bytes())
}

/// Whether the deploy for which the token was made, if it was for one, goes on. The draft is worth nothing if
/// that changes meanwhile.
pub(super) fn still_deploys(draft: &mut Draft<'_>, token: &HostToken) -> bool {
    let tables = draft.tables();
    if let Some(run) = token.task.and_then(|task| tables.runs().get(&task)) {
        draft.require(run.unchanged());
    }
    is_under_way(tables, token)
}

/// The same, to look.
pub(super) fn is_under_way(tables: &Tables, token: &HostToken) -> bool {
    token.task.is_none_or(|task| {
        let run = tables.runs().get(&task);
        run.is_some_and(|run| !matches!(run.life.state(), TaskState::Finished { .. }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_has_one_token_which_is_not_the_bearer() {
        let (one, other) = (secret("one"), secret("other"));
        assert_eq!(one, secret("one"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        assert!(!one.contains("one") && one != HostToken::hash_of("one"));
    }
}
