//! Names of config files.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in bytes.
pub const LONGEST_NAME: usize = 1000;
/// Longest part of a name between two slashes, in bytes: what file systems of Linux take.
pub const LONGEST_PART: usize = 255;
/// Name of the file that a machine writes before it renames it to the one that is meant; no config file can have it.
pub const DRAFT_NAME: &str = ".foghorn-host.new";

/// Name of a config file: a path below the folder of extracted files, such as `app.conf` or `vpn/wg0.conf`. Whatever it is
/// joined to, it stays below that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

/// A text that cannot be the name of a config file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadFileName {
    #[error("the name of a config file is empty")]
    Empty,
    #[error("the name of a config file has {0} bytes; {LONGEST_NAME} are allowed")]
    TooLong(usize),
    #[error("{0:?} begins with a slash; a config file is named by a path below a folder")]
    Absolute(String),
    #[error(
        "{0:?} ends with a slash, as a folder does; a config file is named by the path of a file"
    )]
    Folder(String),
    #[error("{0:?} has an empty part, or . or .. as a part")]
    Part(String),
    #[error("a part of {0:?} has more than {LONGEST_PART} bytes")]
    LongPart(String),
    #[error("{0:?} has a control character in it")]
    Control(String),
    #[error("{0:?} has a part that the host service uses itself ({DRAFT_NAME})")]
    Reserved(String),
}

impl FileName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders that the file lies in, from the innermost: `a/b` and `a` of `a/b/c`.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').map(|(at, _)| &self.0[..at])
    }
}

fn check(text: &str) -> Result<(), BadFileName> {
    let name = || text.to_owned();
    if text.is_empty() {
        return Err(BadFileName::Empty);
    }
    if text.len() > LONGEST_NAME {
        return Err(BadFileName::TooLong(text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(BadFileName::Control(name()));
    }
    if text.starts_with('/') {
        return Err(BadFileName::Absolute(name()));
    }
    if text.ends_with('/') {
        return Err(BadFileName::Folder(name()));
    }
    for part in text.split('/') {
        match part {
            "" | "." | ".." => return Err(BadFileName::Part(name())),
            DRAFT_NAME => return Err(BadFileName::Reserved(name())),
            _ if part.len() > LONGEST_PART => return Err(BadFileName::LongPart(name())),
            _ => {}
        }
    }
    Ok(())
}

impl TryFrom<String> for FileName {
    type Error = BadFileName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check(&text).map(|()| Self(text))
    }
}

impl FromStr for FileName {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text).map(|()| Self(text.to_owned()))
    }
}

/// A name is found by its text in a sorted map.
impl Borrow<str> for FileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for FileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_reason_for_a_refusal_is_told() {
        type Reason = fn(&BadFileName) -> bool;
        let cases: [(&str, Reason); 12] = [
            ("", |e| matches!(e, BadFileName::Empty)),
            ("/etc/passwd", |e| matches!(e, BadFileName::Absolute(_))),
            ("a/", |e| matches!(e, BadFileName::Folder(_))),
            ("a//b", |e| matches!(e, BadFileName::Part(_))),
            ("../a", |e| matches!(e, BadFileName::Part(_))),
            ("a/../b", |e| matches!(e, BadFileName::Part(_))),
            ("a/./b", |e| matches!(e, BadFileName::Part(_))),
            ("a\0b", |e| matches!(e, BadFileName::Control(_))),
            ("a\nb", |e| matches!(e, BadFileName::Control(_))),
            ("a\u{85}b", |e| matches!(e, BadFileName::Control(_))),
            ("a/.foghorn-host.new", |e| {
                matches!(e, BadFileName::Reserved(_))
            }),
            ("..", |e| matches!(e, BadFileName::Part(_))),
        ];
        for (text, is_reason) in cases {
            let error = text.parse::<FileName>().unwrap_err();
            assert!(is_reason(&error), "{text:?}: {error}");
        }
        let long = |bytes: usize| "x".repeat(bytes).parse::<FileName>();
        assert!(long(LONGEST_PART).is_ok());
        assert!(matches!(
            long(LONGEST_PART + 1),
            Err(BadFileName::LongPart(_))
        ));
        assert!(matches!(
            long(LONGEST_NAME + 1),
            Err(BadFileName::TooLong(_))
        ));
    }

    #[test]
    fn folders_are_named_from_the_innermost() {
        let folders = |text: &str| {
            let name: FileName = text.parse().unwrap();
            name.folders().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(folders("a/b/c"), ["a/b", "a"]);
        assert!(folders("a").is_empty());
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_stays_below_its_folder(text in "[a./\\\\\0\n\u{e4}-]{0,12}") {
            if let Ok(name) = text.parse::<FileName>() {
                let is_normal = |part| matches!(part, Component::Normal(_));
                prop_assert!(Path::new(name.as_str()).components().all(is_normal));
                let again: String = Path::new(name.as_str()).components().map(|part| part.as_os_str().to_str().unwrap())
                    .collect::<Vec<_>>().join("/");
                prop_assert_eq!(again, text);
            }
        }
    }
}
