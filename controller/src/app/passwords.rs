//! Password hashes: argon2id for new ones, bcrypt for those imported from another server.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};

/// Work factors above this take seconds of a core for one check.
const MOST_BCRYPT_COST: u32 = 15;

/// Hashes a password with argon2id. Takes tens of milliseconds of a core: not on an async thread.
///
/// # Errors
/// A message when the password is too long to be hashed.
pub(crate) fn hash(password: &[u8]) -> Result<String, String> {
    Argon2::default()
        .hash_password(password)
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// Whether the password matches the hash. As slow as hashing it, or slower for an imported hash.
#[must_use]
pub fn matches(password: &[u8], hash: &str) -> bool {
    if is_imported(hash) {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// Whether a hash was imported from another server and must be replaced when the password is known.
#[must_use]
pub fn is_imported(hash: &str) -> bool {
    hash.starts_with("$2")
}

/// Checks a hash before it is imported.
///
/// # Errors
/// A message with the reason.
pub(crate) fn check_import(hash: &str) -> Result<(), String> {
    if !["$2y$", "$2a$", "$2b$"]
        .iter()
        .any(|start| hash.starts_with(start))
    {
        return Err("only bcrypt hashes ($2y$, $2a$, $2b$) can be imported".to_owned());
    }
    let parts: bcrypt::HashParts = hash
        .parse()
        .map_err(|error| format!("it is not a bcrypt hash: {error}"))?;
    if parts.get_cost() > MOST_BCRYPT_COST {
        return Err(format!(
            "its cost is {}, at most {MOST_BCRYPT_COST} is accepted",
            parts.get_cost()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by PHP's `password_hash`.
    const PHP: &str = "$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a";

    #[test]
    fn what_php_hashed_is_understood() {
        assert_eq!(check_import(PHP), Ok(()));
        assert!(matches(b"rasmuslerdorf", PHP) && !matches(b"rasmus", PHP));
        for version in ["$2a$", "$2b$"] {
            let same = PHP.replace("$2y$", version);
            assert!(
                check_import(&same).is_ok() && matches(b"rasmuslerdorf", &same),
                "{version}"
            );
        }
    }

    #[test]
    fn what_is_no_bcrypt_hash_is_not_imported() {
        for bad in [
            "",
            "secret",
            "$2y$10$short",
            "$1$abc",
            "$2y$31$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a",
        ] {
            assert!(check_import(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn our_own_hashes_are_salted_and_checked() {
        let (one, two) = (hash(b"pass word").unwrap(), hash(b"pass word").unwrap());
        assert_ne!(one, two);
        assert!(
            matches(b"pass word", &one)
                && !matches(b"password", &one)
                && !matches(b"pass word", "")
        );
    }
}
