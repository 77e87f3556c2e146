//! Which credentials were given to this installation, so that a value is taken over once: not again
//! after somebody has changed it otherwise, and not by a controller that still sees an old one.
//!
//! Values are known by hashes: of tokens the one that is stored anyway, of passwords a slow one of
//! its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shelf::{Record, one_setting, stored_whole};
use crate::store::Revision;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Given {
    /// BLAKE3 of API tokens.
    pub api_tokens: Values,
    /// By the name of the user in small letters.
    pub users: BTreeMap<String, GivenUser>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// What was given for one user.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GivenUser {
    /// BLAKE3 of tokens.
    pub tokens: Values,
    /// argon2id of passwords.
    pub passwords: Values,
}

/// Hashes of the values of one credential in the order in which they were given, the last one at
/// the end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(Vec<String>);

/// Values of one credential that are remembered. A controller whose files are older than this would
/// bring its value back at its start.
const MOST_VALUES: usize = 8;

/// What is known about a value that somebody gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It was never given, as far as is remembered.
    New,
    /// It is what was given last.
    Last,
    /// Another one was given since.
    Replaced,
}

impl Values {
    /// `is`: whether a hash is that of the value in question.
    pub fn standing(&self, is: impl FnMut(&String) -> bool) -> Standing {
        self.find(is).0
    }

    /// The same, and the hash by which the value is known.
    pub fn find(&self, mut is: impl FnMut(&String) -> bool) -> (Standing, Option<&String>) {
        // The last one first: it is what is asked for most.
        let mut all = self.0.iter().rev().enumerate();
        match all.find(|&(_, hash)| is(hash)) {
            None => (Standing::New, None),
            Some((0, hash)) => (Standing::Last, Some(hash)),
            Some((_, hash)) => (Standing::Replaced, Some(hash)),
        }
    }

    /// As [`Values::push`] for a value that has another hash each time, as a password has: `before` is
    /// the one by which it is known. Remembered twice, it would push another one out.
    pub fn push_again(&mut self, hash: String, before: Option<&str>) {
        self.0.retain(|known| Some(known.as_str()) != before);
        self.push(hash);
    }

    /// The value with this hash was given.
    pub fn push(&mut self, hash: String) {
        self.0.retain(|known| *known != hash);
        self.0.push(hash);
        let over = self.0.len().saturating_sub(MOST_VALUES);
        self.0.drain(..over);
    }
}

impl Given {
    /// Name of the setting.
    pub const NAME: &'static str = "given";
}

impl Record for Given {
    const WHAT: &'static str = "given credentials";
    type Index = ();

    one_setting!();
    stored_whole!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_by_when_they_were_given() {
        let mut values = Values::default();
        let standing = |values: &Values, one: &str| values.standing(|hash| hash == one);
        assert_eq!(standing(&values, "a"), Standing::New);
        for hash in ["a", "b"] {
            values.push(hash.to_owned());
        }
        assert_eq!(standing(&values, "b"), Standing::Last);
        assert_eq!(standing(&values, "a"), Standing::Replaced);
        values.push("a".to_owned());
        assert_eq!(standing(&values, "a"), Standing::Last);
        assert_eq!(standing(&values, "b"), Standing::Replaced);
        values.push_again("A".to_owned(), Some("a"));
        assert_eq!(values.0, ["b", "A"]);
        values.push_again("c".to_owned(), None);
        assert_eq!(values.0, ["b", "A", "c"]);
        (0..MOST_VALUES).for_each(|number| values.push(number.to_string()));
        assert_eq!(values.0.len(), MOST_VALUES);
        assert_eq!(standing(&values, "a"), Standing::New);
    }
}
