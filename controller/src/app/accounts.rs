//! Accounts of the API: the API token, users, their tokens and passwords.
//!
//! Tokens are random and long, so a fast hash (BLAKE3) protects them; passwords are neither and get
//! argon2id.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use foghorn_types::{Timestamp, chain};
use tracing::{info, warn};

use super::passwords;
use super::user_rules::check_name;
use crate::config::FIRST_USER;
use crate::ctx::Ctx;
use crate::state::actor::{self, Actor};
use crate::state::classes::User;
use crate::state::first_run::FirstCredentials;
use crate::state::settings::ApiSettings;
pub use crate::state::settings::hash_token;
use crate::state::value::Flag;
use crate::state::{Refusal, State};

/// The request that uses the first credentials waits this long for their removal.
const FORGET_WITHIN: Duration = Duration::from_secs(2);

/// The credentials that a first run makes. They are stored until somebody uses them, afterwards only
/// their hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstRun {
    pub api_token: String,
    pub user: String,
    pub user_token: String,
    pub password: String,
}

/// A user to be created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewUser {
    pub name: String,
    pub password: String,
    /// Empty for a user without one.
    pub token: String,
    /// Whether the token may be used.
    pub api: bool,
    /// 0 for an administrator.
    pub kind: i64,
}

/// Why an account could not be created.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("the system provides no random numbers")]
    Random(#[source] getrandom::Error),
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// As [`first_run_as`] the user with the usual name.
///
/// # Errors
/// When the store, the hash or the system's randomness fails.
pub async fn first_run(state: &State) -> Result<Option<FirstRun>, AccountError> {
    first_run_as(state, FIRST_USER).await
}

/// Creates the user `name`, its tokens and the API token, or gives those that were created before and
/// have not been used. `None` if they have been.
///
/// # Errors
/// When the name is none, or the store, the hash or the system's randomness fails.
pub async fn first_run_as(state: &State, name: &str) -> Result<Option<FirstRun>, AccountError> {
    check_name(name)?;
    if state.read(|tables| tables.api().is_some()) {
        return Ok(unused(state));
    }
    let password = random(12).map(|bytes| BASE64URL_NOPAD.encode(&bytes))?;
    let first = FirstRun {
        api_token: token()?,
        user: name.to_owned(),
        user_token: token()?,
        password,
    };
    let user = prepare(NewUser {
        name: first.user.clone(),
        password: first.password.clone(),
        token: first.user_token.clone(),
        api: true,
        kind: 0,
    })
    .await?;
    let settings = ApiSettings {
        enabled: true,
        token_hash: hash_token(&first.api_token),
        modified: 0,
    };
    let made = state
        .write::<_, Refusal>(|draft| {
            if draft.tables().api().is_some() {
                return Ok(false);
            }
            draft.replace(&settings);
            draft.insert(user.clone())?;
            draft.store(&FirstCredentials {
                api_token: first.api_token.clone(),
                user: first.user.clone(),
                user_token: first.user_token.clone(),
                password: first.password.clone(),
                modified: 0,
            });
            Ok(true)
        })
        .await?;
    Ok(if made { Some(first) } else { unused(state) })
}

/// The first credentials, if nobody has used them.
fn unused(state: &State) -> Option<FirstRun> {
    state.read(|tables| {
        tables.first_credentials().map(|kept| FirstRun {
            api_token: kept.api_token.clone(),
            user: kept.user.clone(),
            user_token: kept.user_token.clone(),
            password: kept.password.clone(),
        })
    })
}

/// Forgets the first credentials once their user, who was just authenticated, has them.
pub async fn used(ctx: &Ctx, user: &str) {
    let (state, trying) = (&ctx.state, &ctx.doors.forgetting);
    let kept = state.read(|tables| {
        let kept = tables.first_credentials();
        kept.is_some_and(|kept| kept.user.eq_ignore_ascii_case(user))
    });
    // One request at a time tries, the others go on.
    if !kept || trying.swap(true, Ordering::AcqRel) {
        return;
    }
    let forgotten = state.write::<_, Refusal>(|draft| {
        draft.forget::<FirstCredentials>(&());
        Ok(())
    });
    match tokio::time::timeout(FORGET_WITHIN, forgotten).await {
        Ok(Ok(())) => info!("the first credentials have been used and are no longer kept"),
        Ok(Err(error)) => {
            warn!(error = %chain(&error), "could not forget the first credentials");
        }
        Err(late) => warn!(error = %chain(&late), "could not forget the first credentials"),
    }
    trying.store(false, Ordering::Release);
}

/// Gives the user `name` a new password and token and the rights of an administrator, and the API a
/// new token; the user is created if it does not exist. For whoever has the controller's disk and
/// has lost the credentials. In the audit log it is `reset-admin`.
///
/// # Errors
/// When the store, the hash or the system's randomness fails.
pub async fn reset_admin(state: &State, name: &str) -> Result<FirstRun, AccountError> {
    let first = FirstRun {
        api_token: token()?,
        user: name.to_owned(),
        user_token: token()?,
        password: random(12).map(|bytes| BASE64URL_NOPAD.encode(&bytes))?,
    };
    let user = prepare(NewUser {
        name: name.to_owned(),
        password: first.password.clone(),
        token: first.user_token.clone(),
        api: true,
        kind: 0,
    })
    .await?;
    let reset = state.write::<_, Refusal>(|draft| {
        let tables = draft.tables();
        let modified = tables.api().map_or(0, |settings| settings.modified);
        draft.replace(&ApiSettings {
            enabled: true,
            token_hash: hash_token(&first.api_token),
            modified,
        });
        draft.forget::<FirstCredentials>(&());
        match tables.of::<User>().named(name) {
            Some(row) => draft.update(
                row,
                &User {
                    id: row.id,
                    name: row.name.clone(),
                    created_time: row.created_time,
                    ..user.clone()
                },
            ),
            None => draft.insert(user.clone()).map(drop),
        }
    });
    let actor = Actor {
        user: 0,
        name: "reset-admin".to_owned(),
        from: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method: "LOCAL".to_owned(),
        path: "reset-admin".to_owned(),
        request: String::new(),
        idempotency_key: None,
    };
    actor::on_behalf(actor, reset).await?;
    Ok(first)
}

/// Adds a user.
///
/// # Errors
/// When the name is taken, or the store or the hash fails.
pub async fn add_user(state: &State, new: NewUser) -> Result<u32, AccountError> {
    let user = prepare(new).await?;
    Ok(state.write(|draft| draft.insert(user.clone())).await?)
}

/// Replaces the API token.
///
/// # Errors
/// When the store fails.
pub async fn set_api_token(state: &State, token: &str) -> Result<(), Refusal> {
    change_api(state, |settings| settings.token_hash = hash_token(token)).await
}

/// Turns the API on or off for everybody.
///
/// # Errors
/// When the store fails.
pub async fn set_api_enabled(state: &State, enabled: bool) -> Result<(), Refusal> {
    change_api(state, |settings| settings.enabled = enabled).await
}

async fn change_api(state: &State, change: impl Fn(&mut ApiSettings)) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let mut settings = draft.tables().api().cloned().unwrap_or_default();
            change(&mut settings);
            draft.replace(&settings);
            Ok(())
        })
        .await
}

async fn prepare(new: NewUser) -> Result<User, AccountError> {
    let NewUser {
        name,
        password,
        token,
        api,
        kind,
    } = new;
    let hashed = tokio::task::spawn_blocking(move || passwords::hash(password.as_bytes()));
    let password_hash = hashed
        .await
        .map_err(|error| AccountError::Hash(error.to_string()))?
        .map_err(AccountError::Hash)?;
    let token_hash = if token.is_empty() {
        String::new()
    } else {
        hash_token(&token)
    };
    Ok(User {
        id: 0,
        name,
        password_hash,
        token_hash,
        api: Flag::from(api),
        kind,
        role: String::new(),
        created_time: Timestamp::now().into(),
    })
}

/// 512 random bits as 128 hexadecimal digits, the form of FOG's tokens.
pub(crate) fn token() -> Result<String, AccountError> {
    random(64).map(|bytes| HEXLOWER.encode(&bytes))
}

fn random(length: usize) -> Result<Vec<u8>, AccountError> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(AccountError::Random)?;
    Ok(bytes)
}
