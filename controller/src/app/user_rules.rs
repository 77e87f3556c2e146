//! What a user may be called, and how long a password may be.

use crate::state::Refusal;

/// In bytes.
pub(super) const SHORTEST_PASSWORD: usize = 8;
/// Longer passwords would allow denial of service by hashing.
pub(super) const LONGEST_PASSWORD: usize = 1024;
const LONGEST_NAME: usize = 40;

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let why = if name.is_empty() || name.chars().count() > LONGEST_NAME {
        format!("a name must have 1 to {LONGEST_NAME} characters")
    } else if name.trim() != name || name.contains(':') || name.chars().any(char::is_control) {
        "a name must not contain a colon, control characters, or leading or trailing spaces"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid { field: "name", why })
}
