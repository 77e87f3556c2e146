//! What a token for the API of factories may do.

use std::fmt;
use std::str::FromStr;

use foghorn_types::Role;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One permission. The words are those of the API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    DevicesRead,
    DevicesReadUpdate,
    DevicesCreate,
    DevicesDelete,
    TargetsRead,
    TargetsReadUpdate,
    CiRead,
    CiReadUpdate,
}

/// A text that is not a scope.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is not a scope: devices:read, devices:read-update, devices:create, devices:delete, targets:read, targets:read-update, ci:read or ci:read-update"
)]
pub struct ParseScopeError(String);

impl Scope {
    pub const ALL: [Self; 8] = [
        Self::DevicesRead,
        Self::DevicesReadUpdate,
        Self::DevicesCreate,
        Self::DevicesDelete,
        Self::TargetsRead,
        Self::TargetsReadUpdate,
        Self::CiRead,
        Self::CiReadUpdate,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DevicesRead => "devices:read",
            Self::DevicesReadUpdate => "devices:read-update",
            Self::DevicesCreate => "devices:create",
            Self::DevicesDelete => "devices:delete",
            Self::TargetsRead => "targets:read",
            Self::TargetsReadUpdate => "targets:read-update",
            Self::CiRead => "ci:read",
            Self::CiReadUpdate => "ci:read-update",
        }
    }

    /// Whether whoever has this one may do what asks for the other.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::DevicesReadUpdate, Self::DevicesRead)
                    | (Self::TargetsReadUpdate, Self::TargetsRead)
                    | (Self::CiReadUpdate, Self::CiRead)
            )
    }

    /// What a user of this role may do at most, whatever the token says.
    #[must_use]
    pub fn is_of(self, role: Role) -> bool {
        let changes = !matches!(self, Self::DevicesRead | Self::TargetsRead | Self::CiRead);
        !changes || role >= Role::Operator
    }
}

impl Scope {
    /// What of it a user of this role may do: who may not update may still read.
    #[must_use]
    pub fn within(self, role: Role) -> Option<Self> {
        let less = match self {
            Self::DevicesReadUpdate => Self::DevicesRead,
            Self::TargetsReadUpdate => Self::TargetsRead,
            Self::CiReadUpdate => Self::CiRead,
            other => other,
        };
        [self, less].into_iter().find(|scope| scope.is_of(role))
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|scope| scope.as_str() == text)
            .ok_or_else(|| ParseScopeError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_update_includes_to_read_and_nothing_else() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            let included = Scope::ALL
                .into_iter()
                .filter(|other| scope.includes(*other));
            let expected = 1 + usize::from(scope.as_str().ends_with(":read-update"));
            assert_eq!(included.count(), expected, "{scope}");
        }
        assert!(Scope::DevicesReadUpdate.includes(Scope::DevicesRead));
        assert!(!Scope::DevicesRead.includes(Scope::DevicesReadUpdate));
        assert!("devices:*".parse::<Scope>().is_err());
    }

    #[test]
    fn who_only_reads_changes_nothing_with_a_token_either() {
        let of = |role| {
            Scope::ALL
                .into_iter()
                .filter(move |scope| scope.is_of(role))
        };
        assert!(of(Role::ReadOnly).all(|scope| scope.as_str().ends_with(":read")));
        assert_eq!(of(Role::ReadOnly).count(), 3);
        assert_eq!(of(Role::Operator).count(), Scope::ALL.len());
        let left = Scope::DevicesReadUpdate.within(Role::ReadOnly);
        assert_eq!(left, Some(Scope::DevicesRead));
        assert_eq!(Scope::DevicesDelete.within(Role::ReadOnly), None);
    }
}
