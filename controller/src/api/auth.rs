//! Who is calling: the API token of the installation, and a user by token or by password. Everything else is denied.
//!
//! The order is FOG's: first the API must be on, then the API token, then the user's token, then Basic. Tokens may be sent as
//! they are or in base64, as FOG's own clients do.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use foghorn_types::Role;
use tokio::sync::Semaphore;

use crate::app::accounts;
use crate::state::classes::User;
use crate::state::classes::user::token_key;
use crate::state::value::Flag;
use crate::state::{State, Tables};

/// A caller who may use the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    pub user: u32,
    /// The user's own name.
    pub name: String,
    /// Who shows as the maker of what the caller makes: under token authentication FOG writes `fog` for everybody.
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

/// Why a caller was turned away. Says no more than a FOG server does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the API is turned off")]
    ApiOff,
    #[error("the API token is missing or wrong")]
    ApiToken,
    #[error("neither a user token nor a password was right")]
    User,
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::ApiOff => (StatusCode::FOUND, [(header::LOCATION, "/fog/management/index.php")]).into_response(),
            Self::ApiToken => (StatusCode::FORBIDDEN, [json]).into_response(),
            Self::User => (StatusCode::UNAUTHORIZED, [json]).into_response(),
        }
    }
}

/// Whom [`super::access`] has let in. A route that lets in everybody has none.
impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, AuthError> {
        parts.extensions.get::<Self>().cloned().ok_or(AuthError::User)
    }
}

/// Finds out who is calling.
///
/// # Errors
/// [`AuthError`] when nobody may.
pub async fn authenticate(state: &State, headers: &HeaderMap) -> Result<Principal, AuthError> {
    let by_token = state.read(|tables| {
        let api = tables.api().ok_or(AuthError::ApiToken)?;
        if !api.enabled {
            return Err(AuthError::ApiOff);
        }
        let sent = candidates(headers, "fog-api-token");
        if !sent.iter().any(|token| hash_is(token, &api.token_hash)) {
            return Err(AuthError::ApiToken);
        }
        Ok(user_by_token(tables, &candidates(headers, "fog-user-token")))
    })?;
    match by_token {
        Some(principal) => Ok(principal),
        None => by_password(state, headers).await,
    }
}

/// A token as it was sent, and what it is if it was base64.
fn candidates(headers: &HeaderMap, name: &str) -> Vec<String> {
    let Some(sent) =
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|text| !text.is_empty())
    else {
        return Vec::new();
    };
    let decoded = BASE64.decode(sent.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    std::iter::once(sent.to_owned()).chain(decoded.filter(|text| !text.is_empty())).collect()
}

/// Whether the token has this hash; hashes are compared in constant time.
fn hash_is(token: &str, hash: &str) -> bool {
    blake3::Hash::from_hex(hash).is_ok_and(|hash| blake3::hash(token.as_bytes()) == hash)
}

fn user_by_token(tables: &Tables, sent: &[String]) -> Option<Principal> {
    let users = tables.of::<User>();
    sent.iter().find_map(|token| {
        let key = token_key(&accounts::hash_token(token))?;
        let user = users.by(User::BY_TOKEN, key).find(|user| hash_is(token, &user.token_hash))?;
        (user.api == Flag::Yes).then(|| Principal {
            user: user.id,
            name: user.name.clone(),
            created_by: "fog".to_owned(),
            role: user.role(),
        })
    })
}

/// FOG does not ask here whether the user may use the API; the API token has been checked.
async fn by_password(state: &State, headers: &HeaderMap) -> Result<Principal, AuthError> {
    let (name, password) = basic(headers).ok_or(AuthError::User)?;
    let user = state.read(|tables| tables.of::<User>().named(&name).cloned());
    // An unknown name costs as much time as a wrong password, so that names cannot be found out.
    let phc = user.as_ref().map_or(NOBODY, |user| user.password_hash.as_str()).to_owned();
    let right = password_is(password, phc).await;
    match user {
        Some(user) if right => {
            let (name, created_by) = (user.name.clone(), user.name.clone());
            Ok(Principal { user: user.id, name, created_by, role: user.role() })
        }
        _ => Err(AuthError::User),
    }
}

/// A hash that no password has been found for: its 32 bytes are zeros.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

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

/// Passwords that were right, by a hash under a key of this process: a script that sends Basic with every request would
/// otherwise cost 20 MiB and tens of milliseconds each time.
static RIGHT: LazyLock<Mutex<HashSet<[u8; 32]>>> = LazyLock::new(Mutex::default);
static RIGHT_KEY: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).ok().map(|()| key)
});
/// Bounds the memory of [`RIGHT`]; when it is full it starts again.
const MOST_REMEMBERED: usize = 1024;
/// Passwords that are checked at the same time, so that guessing them cannot take all memory and cores.
static CHECKS: Semaphore = Semaphore::const_new(2);

async fn password_is(password: Vec<u8>, phc: String) -> bool {
    let remembered = RIGHT_KEY.as_ref().map(|key| {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&(phc.len() as u64).to_le_bytes()).update(phc.as_bytes()).update(&password);
        *hasher.finalize().as_bytes()
    });
    let right = || RIGHT.lock().unwrap_or_else(PoisonError::into_inner);
    if remembered.is_some_and(|hash| right().contains(&hash)) {
        return true;
    }
    let Ok(_permit) = CHECKS.acquire().await else { return false };
    let matches =
        tokio::task::spawn_blocking(move || accounts::password_matches(&password, &phc)).await.unwrap_or(false);
    if let Some(hash) = remembered.filter(|_| matches) {
        let mut right = right();
        if right.len() >= MOST_REMEMBERED {
            right.clear();
        }
        right.insert(hash);
    }
    matches
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
        headers.insert(header::AUTHORIZATION, format!("Basic {}", BASE64.encode(b"fog:a:b")).parse().unwrap());
        assert_eq!(basic(&headers), Some(("fog".to_owned(), b"a:b".to_vec())));
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        assert!(!password_is(b"password".to_vec(), NOBODY.to_owned()).await);
    }
}
