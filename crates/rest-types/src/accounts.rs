//! Bodies of the routes for users and for the API as a whole. All of them are for administrators.

use foghorn_types::Role;
use serde::{Deserialize, Serialize};

/// Somebody, or some program, that may use the API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserView {
    pub id: u32,
    pub name: String,
    pub role: Role,
    /// Whether the user's token is accepted.
    pub api: bool,
    pub has_token: bool,
    pub password: PasswordState,
    /// RFC 3339 in UTC, empty when nobody knows.
    pub created: String,
}

/// What is known of a user's password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordState {
    /// No password opens the account; a token may.
    None,
    /// Hashed with argon2id.
    Set,
    /// An imported bcrypt hash; replaced at the next log-in with the right password.
    Imported,
}

/// `GET /foghorn/v1/users`, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserList {
    pub users: Vec<UserView>,
}

/// `POST /foghorn/v1/users` → 201 [`UserCreated`]. At most one of `password` and `password_hash`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 40 characters, no colon and no control characters.
    pub name: String,
    pub role: Role,
    /// Whether the token is accepted; yes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<bool>,
    /// At least 8 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A bcrypt hash (`$2y$`, `$2a$`, `$2b$`) of another server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserCreated {
    #[serde(flatten)]
    pub user: UserView,
    /// Shown once, only its hash is stored.
    pub token: String,
}

/// `PATCH /foghorn/v1/users/{id}` → [`UserView`]. What is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<bool>,
}

/// `PUT /foghorn/v1/users/{id}/password` → 204. Exactly one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// `POST /foghorn/v1/users/{id}/token` and `POST /foghorn/v1/api/token`: the old token is refused from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenMade {
    /// Shown once, only its hash is stored.
    pub token: String,
}

/// `GET` and `PUT /foghorn/v1/api`: whether the dialects of other servers are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSwitch {
    pub enabled: bool,
}
