//! What a user of the API may do.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each role may do all that the one before it may: they are ordered.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Role {
    /// Looks at everything but users and the audit log, changes nothing.
    ReadOnly,
    /// Does the daily work: hosts, images, groups, tasks.
    Operator,
    /// Does everything, sees secrets when asking for them.
    Administrator,
}

/// A text that is not a role.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a role: administrator, operator or read-only")]
pub struct ParseRoleError(String);

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::Operator, Self::Administrator];

    /// The name that [`FromStr`](std::str::FromStr) reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| ParseRoleError(text.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_have_one_spelling() {
        assert!(Role::ReadOnly < Role::Operator && Role::Operator < Role::Administrator);
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("Administrator".parse::<Role>().is_err() && "".parse::<Role>().is_err());
    }
}
