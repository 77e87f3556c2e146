//! Manages the users of the API: their names, roles, passwords and tokens.

use foghorn_types::{Role, Timestamp};

use super::accounts::{AccountError, hash_token, token};
use super::passwords;
use super::user_rules::{LONGEST_PASSWORD, SHORTEST_PASSWORD, check_name};
use crate::state::classes::User;
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, Row, State};

/// The password of a new user.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// None: the user can log in only with the token.
    None,
    /// In clear; hashed before it is stored.
    Password(String),
    /// bcrypt, of another server.
    Imported(String),
}

/// A user to be created.
pub struct NewAccount {
    pub name: String,
    pub role: Role,
    /// Whether the token may be used.
    pub api: bool,
    pub secret: Secret,
}

/// Creates a user with a new token; returns the id and the token, which is not stored.
///
/// # Errors
/// [`Refusal::Invalid`] or [`Refusal::Taken`] with the field at fault; what the store or the system
/// cannot do.
pub async fn create(state: &State, new: NewAccount) -> Result<(u32, String), AccountError> {
    check_name(&new.name)?;
    let token = token()?;
    let user = User {
        id: 0,
        password_hash: hashed(new.secret).await?,
        token_hash: hash_token(&token),
        api: Flag::from(new.api),
        kind: fog_type(new.role),
        role: new.role.to_string(),
        created_time: Timestamp::now().into(),
        name: new.name,
    };
    let id = state.write(|draft| draft.insert(user.clone())).await?;
    Ok((id, token))
}

/// Changes role and use of the token; `None` means no change.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Invalid`] when no administrator with a token would be left.
pub async fn edit(
    state: &State,
    id: u32,
    role: Option<Role>,
    api: Option<bool>,
) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let row = find(draft, id)?;
            let mut user = User::clone(row);
            if let Some(role) = role {
                user.role = role.to_string();
                user.kind = fog_type(role);
            }
            if let Some(api) = api {
                user.api = Flag::from(api);
            }
            if user == **row {
                return Ok(());
            }
            if rules(row) && !rules(&user) {
                require_another(draft, id, if role.is_some() { "role" } else { "api" })?;
            }
            draft.update(row, &user)
        })
        .await
}

/// Removes a user; the token and the password are refused from now on.
///
/// # Errors
/// As [`edit`].
pub async fn remove(state: &State, id: u32) -> Result<(), Refusal> {
    state
        .write(|draft| {
            let row = find(draft, id)?;
            if rules(row) {
                require_another(draft, id, "id")?;
            }
            draft.delete(row);
            Ok(())
        })
        .await
}

/// Replaces the password.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::Invalid`] for a password that is too short, what the store
/// cannot do.
pub async fn set_password(state: &State, id: u32, secret: Secret) -> Result<(), AccountError> {
    state
        .read(|tables| tables.of::<User>().get(id).map(drop))
        .ok_or(Refusal::NotFound { class: "user", id })?;
    let password_hash = hashed(secret).await?;
    state
        .write(|draft| {
            let row = find(draft, id)?;
            draft.update(
                row,
                &User {
                    password_hash: password_hash.clone(),
                    ..User::clone(row)
                },
            )
        })
        .await?;
    Ok(())
}

/// Sets a new token for the user; the old one is refused from now on.
///
/// # Errors
/// [`Refusal::NotFound`], what the store or the system cannot do.
pub async fn reset_token(state: &State, id: u32) -> Result<String, AccountError> {
    let token = token()?;
    state
        .write(|draft| {
            let row = find(draft, id)?;
            draft.update(
                row,
                &User {
                    token_hash: hash_token(&token),
                    ..User::clone(row)
                },
            )
        })
        .await?;
    Ok(token)
}

/// Replaces an imported hash by an argon2id hash, when the password is known to be right. A
/// concurrent change takes precedence.
///
/// # Errors
/// What the hash or the store cannot do.
pub(crate) async fn rehash(
    state: &State,
    user: &Row<User>,
    password: Vec<u8>,
) -> Result<(), AccountError> {
    let password_hash = blocking(move || passwords::hash(&password)).await?;
    state
        .write(|draft| match draft.tables().of::<User>().get(user.id) {
            Some(row) if row.password_hash == user.password_hash => draft.update(
                row,
                &User {
                    password_hash: password_hash.clone(),
                    ..User::clone(row)
                },
            ),
            _ => Ok(()),
        })
        .await?;
    Ok(())
}

fn find<'t>(draft: &Draft<'t>, id: u32) -> Result<&'t Row<User>, Refusal> {
    let row = draft.tables().of::<User>().get(id);
    row.map(AsRef::as_ref)
        .ok_or(Refusal::NotFound { class: "user", id })
}

/// FOG's type of a user with this role.
fn fog_type(role: Role) -> i64 {
    i64::from(role != Role::Administrator)
}

/// Whether the user can undo any mistake over the API.
fn rules(user: &User) -> bool {
    user.role() == Role::Administrator && user.api == Flag::Yes && !user.token_hash.is_empty()
}

/// Refuses a change that would leave no administrator. A compare on the remaining one ensures that
/// two administrators cannot remove each other at the same time.
fn require_another(draft: &mut Draft<'_>, id: u32, field: &'static str) -> Result<(), Refusal> {
    let another = draft
        .tables()
        .of::<User>()
        .iter()
        .find(|user| user.id != id && rules(user));
    let another = another.ok_or_else(|| Refusal::Invalid {
        field,
        why: "this user is the last administrator whose token is accepted".to_owned(),
    })?;
    draft.unchanged(another);
    Ok(())
}

async fn hashed(secret: Secret) -> Result<String, AccountError> {
    match secret {
        Secret::None => Ok(String::new()),
        Secret::Imported(hash) => {
            passwords::check_import(&hash).map_err(|why| Refusal::Invalid {
                field: "password_hash",
                why,
            })?;
            Ok(hash)
        }
        Secret::Password(password) => {
            if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&password.len()) {
                let why =
                    format!("a password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} bytes");
                return Err(Refusal::Invalid {
                    field: "password",
                    why,
                }
                .into());
            }
            blocking(move || passwords::hash(password.as_bytes())).await
        }
    }
}

async fn blocking(
    hash: impl FnOnce() -> Result<String, String> + Send + 'static,
) -> Result<String, AccountError> {
    let hashed = tokio::task::spawn_blocking(hash)
        .await
        .map_err(|error| AccountError::Hash(error.to_string()))?;
    hashed.map_err(AccountError::Hash)
}
