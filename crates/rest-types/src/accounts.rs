//! Bodies of the routes for users and for the API as a whole. All of them are for administrators.

use foghorn_types::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A person or program that may use the API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserView {
    /// Id of the user.
    #[schemars(range(min = 1))]
    pub id: u32,
    /// Name to log in with.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the user's token is accepted.
    pub api: bool,
    /// Whether the user has a token.
    pub has_token: bool,
    /// State of the password.
    pub password: PasswordState,
    /// When the user was created, RFC 3339 in UTC; empty when unknown.
    pub created: String,
}

/// State of a user's password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PasswordState {
    /// No password: the user can log in only with the token.
    None,
    /// Hashed with argon2id.
    Set,
    /// An imported bcrypt hash; replaced at the next log-in with the right password.
    Imported,
}

/// Users of the API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserList {
    /// In the order of their names.
    pub users: Vec<UserView>,
}

/// A user to be created, with at most one of `password` and `password_hash`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 40 characters, no colon and no control characters.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the token is accepted; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<bool>,
    /// A password of at least 8 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A bcrypt hash (`$2y$`, `$2a$`, `$2b$`) of another server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// A new user with its token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserCreated {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its members appear in its place")]
    pub user: UserView,
    /// The user's token. Shown once, only its hash is stored.
    pub token: String,
}

/// What to change; absent members stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether the user's token is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<bool>,
}

/// A new password: exactly one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// A password of at least 8 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A bcrypt hash (`$2y$`, `$2a$`, `$2b$`) of another server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// A new token; the old one is refused from now on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    /// Shown once, only its hash is stored.
    pub token: String,
}

/// Whether the dialects of other servers are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiSwitch {
    /// Whether they are served.
    pub enabled: bool,
}
