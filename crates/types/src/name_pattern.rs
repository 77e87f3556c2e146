//! Patterns of names of storage nodes.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::NodeName;

/// Names of storage nodes: a name in which `*` stands for any characters, also for none. Lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(inline)]
pub struct NamePattern(
    #[schemars(regex(pattern = "^[A-Za-z0-9*]([A-Za-z0-9*-]{0,61}[A-Za-z0-9*])?$"))] String,
);

/// A text that is not a pattern of node names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is not a pattern of node names: 1 to 63 letters, digits, inner hyphens, and * for any characters"
)]
pub struct ParseNamePatternError(String);

impl NamePattern {
    /// Every name.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is one of these.
    #[must_use]
    pub fn matches(&self, name: &NodeName) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_str().as_bytes());
        let (mut at, mut read) = (0, 0);
        // The last star, and where what it stands for ends so far: if the rest does not fit, it stands
        // for one more.
        let mut star: Option<(usize, usize)> = None;
        while read < name.len() {
            match (pattern.get(at), star) {
                (Some(b'*'), _) => {
                    star = Some((at, read));
                    at += 1;
                }
                (Some(byte), _) if *byte == name[read] => {
                    at += 1;
                    read += 1;
                }
                (_, Some((place, end))) => {
                    star = Some((place, end + 1));
                    at = place + 1;
                    read = end + 1;
                }
                (_, None) => return false,
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl FromStr for NamePattern {
    type Err = ParseNamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pattern = text.to_ascii_lowercase();
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte);
        let fits = (1..=63).contains(&pattern.len())
            && pattern.bytes().all(is_allowed)
            && !pattern.starts_with('-')
            && !pattern.ends_with('-');
        if fits {
            Ok(Self(pattern))
        } else {
            Err(ParseNamePatternError(text.to_owned()))
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern: NamePattern = pattern.parse().unwrap();
        pattern.matches(&name.parse().unwrap())
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("*", "a"),
            ("store-*", "store-1"),
            ("Store-*", "store-17"),
            ("store*", "store"),
            ("*-west", "store-1-west"),
            ("s*-*-west", "s-1-2-west"),
            ("*ab*ab", "abxabab"),
            ("**a**", "a"),
            ("north", "NORTH"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("store-*", "store"),
            ("store-*", "my-store-1"),
            ("*-west", "west"),
            ("*-west", "store-west-1"),
            ("*ab*ab", "ab"),
            ("north", "north-1"),
            ("north-1", "north"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_has_the_characters_of_names_and_stars() {
        for text in ["", "-a*", "a*-", "a.b*", "a b", "ä*", "a?", &"a".repeat(64)] {
            assert!(text.parse::<NamePattern>().is_err(), "{text:?} was taken");
        }
        assert!(NamePattern::any().matches(&"a".parse().unwrap()));
        assert_eq!("Lab-*".parse::<NamePattern>().unwrap().to_string(), "lab-*");
    }

    /// However a pattern is made, this takes about as many steps as the name and the pattern are long
    /// together, times one another.
    #[test]
    fn no_pattern_takes_long() {
        let pattern = format!("{}b", "a*".repeat(31));
        assert!(!matches(&pattern, &"a".repeat(63)));
    }
}
