//! People and programs that may use the API. Never served by the FOG dialect, which has no users either.

use crate::state::class::{Class, Unique};
use crate::state::field::Field;
use crate::state::value::{Flag, FogTime};

/// Someone who may use the API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct User {
    pub id: u32,
    pub name: String,
    /// argon2id in the PHC text form.
    pub password_hash: String,
    /// BLAKE3 of the user token, in hexadecimal; empty for a user without one.
    pub token_hash: String,
    /// Whether the token may be used.
    pub api: Flag,
    /// 0 for an administrator; FOG's 1 is a "mobile" user.
    pub kind: i64,
    pub created_time: FogTime,
}

impl User {
    /// Index by the first eight bytes of the token's hash; the whole hash still has to be compared.
    pub const BY_TOKEN: usize = 0;

    /// Whether it may see secrets and change users.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.kind == 0
    }
}

/// Index key of a token's hash in hexadecimal.
#[must_use]
pub fn token_key(hash: &str) -> Option<u64> {
    hash.get(..16).and_then(|start| u64::from_str_radix(start, 16).ok())
}

impl Class for User {
    const NAME: &'static str = "user";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::text("name", 40, |c: &Self| &c.name, |c| &mut c.name).required(),
        Field::long_text("passwordHash", |c: &Self| &c.password_hash, |c| &mut c.password_hash).secret(),
        Field::text("tokenHash", 64, |c: &Self| &c.token_hash, |c| &mut c.token_hash).secret(),
        Field::flag("api", |c| &c.api, |c| &mut c.api),
        Field::number("type", |c| &c.kind, |c| &mut c.kind),
        Field::time("createdTime", |c| &c.created_time, |c| &mut c.created_time),
    ];
    const NAMED: bool = true;
    const INDEXES: usize = 1;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        token_key(&self.token_hash)
    }
}
