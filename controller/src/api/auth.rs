//! Authentication: the API token of the installation, and a user by token or by password.
//! Everything else is denied.
//!
//! The order is FOG's: first the API must be on, then the API token, then the user's token, then
//! Basic. Tokens may be sent as they are or in base64, as FOG's clients do.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use foghorn_types::{Role, Timestamp, chain};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::app::{accounts, history, passwords, users};
use crate::ctx::Ctx;
use crate::state::Tables;
use crate::state::classes::User;
use crate::state::classes::user::token_key;
use crate::state::value::Flag;

/// A caller who may use the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    pub user: u32,
    /// The name of the user.
    pub name: String,
    /// The name stored as creator of the caller's objects: with token authentication FOG stores
    /// `fog` for everybody.
    pub created_by: String,
    /// What the caller may do.
    pub role: Role,
}

impl Principal {
    /// May see secrets, change users and read the audit log.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.role == Role::Administrator
    }
}

/// Why a caller was refused. Contains no more information than the answer of a FOG server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the API is turned off")]
    ApiOff,
    #[error("the API token is missing or wrong")]
    ApiToken,
    #[error("neither the user token nor the password is valid")]
    User,
    #[error("too many failed log-ins, try again later")]
    TooMany {
        /// Time after which another attempt is accepted.
        wait: Duration,
    },
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let json = (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        match self {
            Self::ApiOff => {
                let page = (header::CONTENT_TYPE, "text/html; charset=UTF-8");
                (
                    StatusCode::FOUND,
                    [page, (header::LOCATION, "/fog/management/index.php")],
                )
                    .into_response()
            }
            Self::ApiToken => (StatusCode::FORBIDDEN, [json]).into_response(),
            Self::User => (StatusCode::UNAUTHORIZED, [json]).into_response(),
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, [json]).into_response(),
        }
    }
}

/// The caller admitted by [`super::access`]. A route that is open to everybody has none.
impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, AuthError> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(AuthError::User)
    }
}

/// Authenticates a caller at the address `from`. `even_when_off`: an administrator may call
/// although the API is off, because that is how it is turned on again.
///
/// # Errors
/// [`AuthError`] when the caller is refused.
pub async fn authenticate(
    ctx: &Ctx,
    headers: &HeaderMap,
    from: IpAddr,
    even_when_off: bool,
) -> Result<Principal, AuthError> {
    let tokens = candidates(headers, "fog-user-token");
    let by_token = ctx.state.read(|tables| {
        let api = tables.api().ok_or(AuthError::ApiToken)?;
        if !api.enabled && !even_when_off {
            return Err(AuthError::ApiOff);
        }
        let sent = candidates(headers, "fog-api-token");
        if !sent.iter().any(|token| hash_is(token, &api.token_hash)) {
            return Err(if sent.is_empty() {
                AuthError::ApiToken
            } else {
                wrong(ctx, from, AuthError::ApiToken)
            });
        }
        Ok((user_by_token(tables, &tokens), api.enabled))
    });
    let (by_token, is_on) = by_token?;
    let caller = match by_token {
        Some(caller) => caller,
        None => match basic(headers) {
            Some((name, password)) => by_password(ctx, from, &name, password).await?,
            None if tokens.is_empty() => return Err(AuthError::User),
            None => return Err(wrong(ctx, from, AuthError::User)),
        },
    };
    if is_on || caller.is_administrator() {
        Ok(caller)
    } else {
        Err(AuthError::ApiOff)
    }
}

/// The error for a wrong token. A valid token is never delayed: 512 random bits cannot be guessed,
/// and many callers may share an address.
fn wrong(ctx: &Ctx, from: IpAddr, error: AuthError) -> AuthError {
    match ctx.doors.wait_of_address(from) {
        Some(wait) => AuthError::TooMany { wait },
        None => {
            ctx.doors.failed_from(from);
            error
        }
    }
}

/// A token as it was sent, and decoded from base64 if possible.
fn candidates(headers: &HeaderMap, name: &str) -> Vec<String> {
    let sent = headers.get(name).and_then(|value| value.to_str().ok());
    sent.map(forms).unwrap_or_default()
}

/// The same of a text; nothing of an empty one.
pub(super) fn forms(sent: &str) -> Vec<String> {
    let sent = sent.trim();
    if sent.is_empty() {
        return Vec::new();
    }
    let decoded = BASE64
        .decode(sent.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    std::iter::once(sent.to_owned())
        .chain(decoded.filter(|text| !text.is_empty()))
        .collect()
}

/// Whether the token has this hash; hashes are compared in constant time.
fn hash_is(token: &str, hash: &str) -> bool {
    blake3::Hash::from_hex(hash).is_ok_and(|hash| blake3::hash(token.as_bytes()) == hash)
}

fn user_by_token(tables: &Tables, sent: &[String]) -> Option<Principal> {
    let users = tables.of::<User>();
    sent.iter().find_map(|token| {
        let key = token_key(&accounts::hash_token(token))?;
        let user = users
            .by(User::BY_TOKEN, key)
            .find(|user| hash_is(token, &user.token_hash))?;
        (user.api == Flag::Yes).then(|| Principal {
            user: user.id,
            name: user.name.clone(),
            created_by: "fog".to_owned(),
            role: user.role(),
        })
    })
}

/// FOG does not ask here whether the user may use the API; the API token has been checked.
async fn by_password(
    ctx: &Ctx,
    from: IpAddr,
    name: &str,
    password: Vec<u8>,
) -> Result<Principal, AuthError> {
    let user = ctx
        .state
        .read(|tables| tables.of::<User>().named(name).cloned());
    // An unknown name takes as much time as a wrong password, so that names cannot be discovered.
    let hash = user
        .as_ref()
        .map(|user| user.password_hash.as_str())
        .filter(|hash| !hash.is_empty());
    let right = Attempt::new(ctx, from, name, password.clone(), hash.unwrap_or(NOBODY))
        .judge()
        .await?;
    let Some(user) = user.filter(|_| right) else {
        return Err(AuthError::User);
    };
    if passwords::is_imported(&user.password_hash)
        && let Err(error) = users::rehash(&ctx.state, &user, password).await
    {
        warn!(
            user = user.id,
            error = %chain(&error),
            "could not replace the hash of an imported password"
        );
    }
    let (name, created_by) = (user.name.clone(), user.name.clone());
    Ok(Principal {
        user: user.id,
        name,
        created_by,
        role: user.role(),
    })
}

/// A hash without a known password: its 32 bytes are zeros.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn basic(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = sent.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((name, decoded[colon + 1..].to_vec()))
}

/// Passwords that were accepted, as keyed hashes: a script that sends Basic credentials with every
/// request would otherwise cost 20 MiB and tens of milliseconds each time. The address is part of
/// the hash, so that an attacker who guesses the password of an active user cannot bypass the limit
/// of failures.
static RIGHT: LazyLock<Mutex<HashSet<[u8; 32]>>> = LazyLock::new(Mutex::default);
static RIGHT_KEY: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).ok().map(|()| key)
});
/// Bounds the memory of [`RIGHT`]; when it is full, it is cleared.
const MOST_REMEMBERED: usize = 1024;
/// Maximum number of concurrent password checks, so that guessing cannot take all memory and cores.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// One log-in with a name and a password.
struct Attempt<'c> {
    ctx: &'c Ctx,
    from: IpAddr,
    name: &'c str,
    password: Vec<u8>,
    hash: String,
    /// The key under which it is cached when it is accepted.
    mark: Option<[u8; 32]>,
}

impl<'c> Attempt<'c> {
    fn new(ctx: &'c Ctx, from: IpAddr, name: &'c str, password: Vec<u8>, hash: &str) -> Self {
        let mark = RIGHT_KEY.as_ref().map(|key| {
            let mut hasher = blake3::Hasher::new_keyed(key);
            hasher.update(from.to_string().as_bytes()).update(b" ");
            hasher
                .update(&(hash.len() as u64).to_le_bytes())
                .update(hash.as_bytes())
                .update(&password);
            *hasher.finalize().as_bytes()
        });
        Self {
            ctx,
            from,
            name,
            password,
            hash: hash.to_owned(),
            mark,
        }
    }

    /// Whether it was accepted before. An address with too many failures is not looked up.
    fn is_remembered(&self) -> Result<bool, AuthError> {
        if let Some(wait) = self.ctx.doors.wait_of_address(self.from) {
            return Err(AuthError::TooMany { wait });
        }
        let right = RIGHT.lock().unwrap_or_else(PoisonError::into_inner);
        if self.mark.is_some_and(|mark| right.contains(&mark)) {
            return Ok(true);
        }
        match self.ctx.doors.wait_of_name(self.name) {
            Some(wait) => Err(AuthError::TooMany { wait }),
            None => Ok(false),
        }
    }

    async fn judge(self) -> Result<bool, AuthError> {
        if self.is_remembered()? {
            return Ok(true);
        }
        let Ok(_permit) = CHECKS.acquire().await else {
            return Ok(false);
        };
        // Check again: earlier requests in the queue may have failed, or have been the same.
        if self.is_remembered()? {
            return Ok(true);
        }
        let Self {
            ctx,
            from,
            name,
            password,
            hash,
            mark,
        } = self;
        let checked =
            tokio::task::spawn_blocking(move || passwords::matches(&password, &hash)).await;
        if !checked.unwrap_or(false) {
            if let Some(line) = ctx.doors.failed_login(name, from)
                && let Err(error) =
                    history::write(&ctx.state, &line, &from.to_string(), Timestamp::now()).await
            {
                warn!(error = %chain(&error), "could not write to the history");
            }
            return Ok(false);
        }
        if let Some(mark) = mark {
            let mut right = RIGHT.lock().unwrap_or_else(PoisonError::into_inner);
            if right.len() >= MOST_REMEMBERED {
                right.clear();
            }
            right.insert(mark);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_be_sent_in_two_forms() {
        let mut headers = HeaderMap::new();
        headers.insert("fog-api-token", BASE64.encode(b"abc").parse().unwrap());
        assert!(candidates(&headers, "fog-api-token").contains(&"abc".to_owned()));
        headers.insert("fog-api-token", "abc".parse().unwrap());
        assert!(candidates(&headers, "fog-api-token").contains(&"abc".to_owned()));
        headers.insert("fog-api-token", "".parse().unwrap());
        assert!(candidates(&headers, "fog-api-token").is_empty());
    }

    #[test]
    fn a_password_may_contain_a_colon() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            format!("Basic {}", BASE64.encode(b"fog:a:b"))
                .parse()
                .unwrap(),
        );
        assert_eq!(basic(&headers), Some(("fog".to_owned(), b"a:b".to_vec())));
    }

    #[test]
    fn nobody_has_no_password() {
        assert!(!passwords::matches(b"password", NOBODY));
    }
}
