//! People and programs that may use the API. Never served by the FOG dialect, which has no users
//! either.

use foghorn_types::Role;

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};
use crate::state::value::{Flag, FogTime};

/// Someone who may use the API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct User {
    pub id: u32,
    pub name: String,
    /// argon2id in the PHC text form, or bcrypt's `$2…` where it was imported and has not been
    /// used yet.
    pub password_hash: String,
    /// BLAKE3 of the user token, in hexadecimal; empty for a user without one.
    pub token_hash: String,
    /// Whether the token may be used.
    pub api: Flag,
    /// FOG's type: 0 is a full user, 1 a "mobile" one. Decides the role where `role` is empty.
    pub kind: i64,
    /// A [`Role`] as text; empty in records of earlier versions. See [`User::role`].
    pub role: String,
    pub created_time: FogTime,
}

impl User {
    /// Index by the first eight bytes of the token's hash; the whole hash still has to be compared.
    pub const BY_TOKEN: usize = 0;

    /// What the user may do. A role that this version does not know allows the least.
    #[must_use]
    pub fn role(&self) -> Role {
        match (self.role.as_str(), self.kind) {
            ("", 0) => Role::Administrator,
            ("", _) => Role::Operator,
            (role, _) => role.parse().unwrap_or(Role::ReadOnly),
        }
    }
}

/// Index key of a token's hash in hexadecimal.
#[must_use]
pub fn token_key(hash: &str) -> Option<u64> {
    hash.get(..16)
        .and_then(|start| u64::from_str_radix(start, 16).ok())
}

impl Class for User {
    const NAME: &'static str = "user";
    const ABOUT: &'static str = "Somebody, or some program, that may use the API.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("number of the user"),
        field!(text, "name", 40, name)
            .required()
            .about("log-in name"),
        field!(long_text, "passwordHash", password_hash)
            .secret()
            .about(
                "hash of the password: argon2id, or bcrypt until the first log-in after an import",
            ),
        field!(text, "tokenHash", 64, token_hash)
            .secret()
            .about("BLAKE3 of the user's token in hexadecimal, empty without one"),
        field!(flag, "api", api).about("whether the user's token is accepted"),
        field!(number, "type", kind).about("kind of user on a FOG server: 0 full, 1 mobile"),
        field!(time, "createdTime", created_time).about("when the user was made"),
        field!(text, "role", 20, role)
            .about("administrator, operator or read-only; empty: follows from type"),
    ];
    const INDEXES: usize = 1;

    id_in_field!();
    unique_name!();

    fn index_key(&self, _number: usize) -> Option<u64> {
        token_key(&self.token_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_a_role_follow_the_type_and_unknown_roles_allow_little() {
        let role = |kind, role: &str| {
            User {
                kind,
                role: role.to_owned(),
                ..User::default()
            }
            .role()
        };
        assert_eq!(
            [role(0, ""), role(1, "")],
            [Role::Administrator, Role::Operator]
        );
        assert_eq!(
            [role(1, "administrator"), role(0, "read-only")],
            [Role::Administrator, Role::ReadOnly]
        );
        assert_eq!(role(0, "auditor"), Role::ReadOnly);
    }
}
