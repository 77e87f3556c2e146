//! Which starts of a machine have spoken with one identity. A machine that starts again never goes back to the start
//! before: where one comes back after another one, two machines have the same key, as after a disk with it was copied.
//!
//! Kept with the device and not in memory, so that it makes no difference to which controller each of them speaks.

use std::time::Duration;

use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Starts that are remembered beside the last one. When many machines have one identity, the first of them are, and
/// it is found out when one of these comes again.
const MOST: usize = 16;
/// What is older is forgotten: two machines that both speak are there every few minutes.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// For so long after it was found out, nothing is looked for: the two would make a change at every poll.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Boots {
    /// Hash of the start that has spoken last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    last: String,
    /// Those before it, and when each was followed by another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<(String, Timestamp)>,
    /// When it was last found out that there are two machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cloned: Option<Timestamp>,
}

impl Boots {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Since when it is known that two machines have the identity; nothing a day after both were last seen.
    #[must_use]
    pub fn cloned(&self, now: Timestamp) -> Option<Timestamp> {
        self.cloned.filter(|at| now.since(*at) < MEMORY)
    }

    /// Notes that this start has spoken. Returns whether that tells of two machines what was not known.
    pub fn note(&mut self, boot: &str, now: Timestamp) -> bool {
        let boot = hash(boot);
        let is_quiet = self.cloned.is_some_and(|at| now.since(at) < QUIET);
        if boot == self.last || is_quiet {
            return false;
        }
        self.former.retain(|(_, at)| now.since(*at) < MEMORY);
        let comes_back = self.former.iter().any(|(former, _)| *former == boot);
        if comes_back {
            let is_news = self.cloned(now).is_none();
            *self = Self {
                last: boot,
                former: Vec::new(),
                cloned: Some(now),
            };
            return is_news;
        }
        let last = std::mem::replace(&mut self.last, boot);
        if !last.is_empty() && self.former.len() < MOST {
            self.former.push((last, now));
        }
        false
    }
}

/// Of whatever was sent, something short.
fn hash(boot: &str) -> String {
    let mut hex = blake3::hash(boot.trim().as_bytes()).to_hex().to_string();
    hex.truncate(16);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000) + Duration::from_secs(minutes * 60)
    }

    #[test]
    fn a_machine_that_starts_again_and_again_is_one() {
        let mut boots = Boots::default();
        for minute in 0..5000 {
            let boot = format!("boot {}", minute / 3);
            assert!(!boots.note(&boot, at(minute)));
        }
        assert_eq!(boots.cloned(at(5000)), None);
        assert!(boots.former.len() <= MOST);
    }

    #[test]
    fn two_machines_in_turns_are_told_once_and_forgotten_when_one_is_gone() {
        let mut boots = Boots::default();
        assert!(!boots.note("one", at(0)));
        assert!(!boots.note("two", at(1)));
        assert!(boots.note("one", at(5)));
        assert_eq!(boots.cloned(at(6)), Some(at(5)));
        let known = boots.clone();
        assert!(!boots.note("two", at(6)) && !boots.note("one", at(10)));
        assert_eq!(boots, known, "no change at every poll");
        // They are still there an hour later, which is no news.
        for minute in 66..70 {
            let boot = if minute % 2 == 0 { "two" } else { "one" };
            assert!(!boots.note(boot, at(minute)));
        }
        let again = boots.cloned(at(70)).unwrap();
        assert!(again > at(60), "{again}");
        // One stays.
        for minute in 200..2000 {
            assert!(!boots.note("one", at(minute)));
        }
        assert_eq!(boots.cloned(again + MEMORY), None);
    }

    #[test]
    fn a_machine_that_was_set_back_after_a_day_is_one() {
        let mut boots = Boots::default();
        boots.note("one", at(0));
        boots.note("two", at(1));
        assert!(!boots.note("one", at(2 + 24 * 60)));
        assert_eq!(boots.cloned(at(3 + 24 * 60)), None);
    }

    #[test]
    fn a_room_that_was_cloned_from_one_disk_is_found_out() {
        let mut boots = Boots::default();
        let mut found = 0;
        for round in 0..3 {
            for machine in 0..500_u64 {
                let boot = format!("machine {machine}");
                found += u32::from(boots.note(&boot, at(round * 5)));
            }
        }
        assert_eq!(found, 1);
    }
}
