//! Factories: the storage groups, as sites. Who works in them.

use foghorn_types::{Role, StorageGroupId};

use super::filter::Reach;
use crate::state::Tables;
use crate::state::classes::{StorageGroup, User};
use crate::state::machines::scope::Scope;

/// A factory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Factory {
    pub id: StorageGroupId,
    pub name: String,
}

/// Somebody who works in a factory. All users work in all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worker {
    /// [`user_code`]
    pub code: String,
    pub name: String,
    pub role: Role,
    /// What the role allows.
    pub scopes: Vec<Scope>,
}

/// The factory with this name, without regard to case.
#[must_use]
pub fn named(tables: &Tables, name: &str) -> Option<StorageGroupId> {
    let row = tables.of::<StorageGroup>().named(name)?;
    StorageGroupId::new(row.id)
}

/// The name of a factory; empty when it is gone.
#[must_use]
pub fn name_of(tables: &Tables, factory: StorageGroupId) -> String {
    let row = tables.of::<StorageGroup>().get(factory.get());
    row.map(|row| row.name.clone()).unwrap_or_default()
}

/// Those that a caller sees, by name.
#[must_use]
pub fn all(tables: &Tables, reach: &Reach) -> Vec<Factory> {
    let rows = tables.of::<StorageGroup>().ordered();
    let all = rows.filter_map(|row| {
        Some(Factory {
            id: StorageGroupId::new(row.id)?,
            name: row.name.clone(),
        })
    });
    all.filter(|factory| reach.has(factory.id)).collect()
}

/// How the dialect writes the number of a user: 24 hexadecimal digits; nothing for nobody.
#[must_use]
pub fn user_code(user: u32) -> String {
    match user {
        0 => String::new(),
        user => format!("{user:024x}"),
    }
}

/// What [`user_code`] has written; `None` for other texts, and for nobody.
#[must_use]
pub fn user_in(code: &str) -> Option<u32> {
    let is_code = code.len() == 24 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(code, 16).ok().filter(|_| is_code)?;
    u32::try_from(number).ok().filter(|user| *user != 0)
}

/// Everybody, by name.
#[must_use]
pub fn users(tables: &Tables) -> Vec<Worker> {
    let rows = tables.of::<User>().ordered();
    rows.map(|row| worker(row)).collect()
}

/// The user with this code.
#[must_use]
pub fn user(tables: &Tables, code: &str) -> Option<Worker> {
    let row = tables.of::<User>().get(user_in(code)?)?;
    Some(worker(row))
}

fn worker(row: &User) -> Worker {
    let role = row.role();
    let scopes = Scope::ALL.into_iter().filter(|scope| scope.is_of(role));
    Worker {
        code: user_code(row.id),
        name: row.name.clone(),
        role,
        scopes: scopes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_written_with_24_digits_and_read_back() {
        let code = user_code(255);
        assert_eq!(code, "0000000000000000000000ff");
        assert_eq!(user_in(&code), Some(255));
        assert_eq!(user_code(0), "");
        for text in [
            "",
            "ff",
            "000000000000000000000000",
            "00000000000000000000000g",
        ] {
            assert_eq!(user_in(text), None, "{text}");
        }
        assert_eq!(user_in("ffffffffffffffffffffffff"), None);
    }
}
