//! Where the controllers are: one by name since the node has joined, the others as they are told on
//! a link. They are kept in a file, so that an agent that starts finds one although the first is
//! gone.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foghorn_types::chain;
use tracing::{info, warn};

/// Kept in the state directory.
const FILE: &str = "controllers";
/// More are not remembered.
const MOST: usize = 64;

/// See the module.
pub(crate) struct Controllers {
    file: PathBuf,
    known: Mutex<Known>,
}

/// Of several controllers one that is down says nothing of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// The first one since a link was open, even if only for a moment.
    Again,
    /// At a controller that was not asked in this round.
    Other,
    /// The first one after all of them were asked in vain.
    Round,
}

struct Known {
    /// One in the same process: attempts begin with it, whatever the others are called.
    beside: Option<String>,
    others: Vec<String>,
    /// The address that worked last; attempts begin with it.
    last: Option<String>,
    /// Attempts since a link was opened.
    attempts: usize,
}

impl Controllers {
    pub(crate) fn load(state_dir: &std::path::Path, beside: Option<String>) -> Self {
        let file = state_dir.join(FILE);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let others = text.lines().map(str::to_owned).take(MOST).collect();
        Self {
            file,
            known: Mutex::new(Known {
                beside,
                others,
                last: None,
                attempts: 0,
            }),
        }
    }

    /// The address for the next attempt: that of a controller in the same process, that which worked last,
    /// then each of the others.
    pub(super) fn next(&self, first: &str) -> String {
        let mut known = self.lock();
        let attempt = known.attempts;
        known.attempts += 1;
        let all = known.all(first);
        all[attempt % all.len()].clone()
    }

    /// What the next attempt is.
    pub(super) fn turn(&self, first: &str) -> Turn {
        let known = self.lock();
        match known.attempts % known.all(first).len() {
            0 if known.attempts > 0 => Turn::Round,
            0 => Turn::Again,
            _ => Turn::Other,
        }
    }

    /// A link was opened at this address.
    pub(super) fn works(&self, address: &str) {
        let mut known = self.lock();
        known.last = Some(address.to_owned());
        known.attempts = 0;
    }

    /// The link that was open broke: if there are others, the next attempt is at one of them.
    pub(super) fn broke(&self, first: &str) {
        let mut known = self.lock();
        if known.all(first).len() > 1 {
            known.attempts = known.attempts.max(1);
        }
    }

    /// The controllers there are, as one of them says.
    pub(super) fn learn(&self, mut addresses: Vec<String>) {
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MOST);
        // Controllers of earlier versions do not say.
        if addresses.is_empty() || addresses == self.lock().others {
            return;
        }
        info!(
            controllers = addresses.join(", "),
            "these are the controllers"
        );
        if let Err(error) = std::fs::write(&self.file, addresses.join("\n")) {
            warn!(
                file = %self.file.display(),
                error = %chain(&error),
                "could not keep the addresses of the controllers"
            );
        }
        self.lock().others = addresses;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Each once, in the order of attempts. Never empty.
    fn all(&self, first: &str) -> Vec<String> {
        let mut all: Vec<String> = self.beside.iter().cloned().collect();
        let last = self.last.as_deref();
        for address in last
            .into_iter()
            .chain([first])
            .chain(self.others.iter().map(String::as_str))
        {
            if !all.iter().any(|known| known == address) {
                all.push(address.to_owned());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_controllers_are_tried_at_once_and_waiting_begins_when_none_answers() {
        let folder = tempfile::tempdir().unwrap();
        let controllers = Controllers::load(folder.path(), None);
        controllers.learn(["a:1", "b:1", "c:1"].map(str::to_owned).to_vec());
        assert_eq!(controllers.next("a:1"), "a:1");
        controllers.works("a:1");
        // The link is lost: soon again, and from then on round all three.
        assert_eq!(controllers.turn("a:1"), Turn::Again);
        for _ in 0..2 {
            for turn in [Turn::Other, Turn::Other, Turn::Round] {
                controllers.next("a:1");
                assert_eq!(controllers.turn("a:1"), turn);
            }
        }
        controllers.works("b:1");
        assert_eq!(controllers.turn("a:1"), Turn::Again);
    }

    #[test]
    fn one_in_the_same_process_is_asked_before_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let here = "127.0.0.1:8444";
        let controllers = Controllers::load(folder.path(), Some(here.to_owned()));
        assert_eq!(controllers.next("a.example:1"), here);
        assert_eq!(controllers.next("a.example:1"), "a.example:1");
        controllers.works("a.example:1");
        assert_eq!(controllers.next("a.example:1"), here);
        controllers.broke("a.example:1");
        assert_eq!(controllers.next("a.example:1"), "a.example:1");
    }

    #[test]
    fn a_single_controller_that_does_not_answer_is_waited_for_longer_and_longer() {
        let folder = tempfile::tempdir().unwrap();
        let controllers = Controllers::load(folder.path(), None);
        controllers.next("a:1");
        assert_eq!(controllers.turn("a:1"), Turn::Round);
        controllers.next("a:1");
        assert_eq!(controllers.turn("a:1"), Turn::Round);
        // One whose link was open is back soon.
        controllers.works("a:1");
        controllers.broke("a:1");
        assert_eq!(controllers.turn("a:1"), Turn::Again);
        controllers.next("a:1");
        assert_eq!(controllers.turn("a:1"), Turn::Round);
    }

    #[test]
    fn the_one_that_worked_is_tried_first_and_then_each_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let controllers = Controllers::load(folder.path(), None);
        assert_eq!(controllers.next("a:1"), "a:1");
        controllers.works("a:1");
        controllers.learn(vec!["c:1".into(), "a:1".into(), "b:1".into()]);
        let next = || controllers.next("a:1");
        assert_eq!(
            [next(), next(), next(), next()],
            ["a:1", "b:1", "c:1", "a:1"]
        );
        controllers.works("c:1");
        assert_eq!(next(), "c:1");
        controllers.works("c:1");
        controllers.broke("a:1");
        assert_eq!([next(), next(), next()], ["a:1", "b:1", "c:1"]);
        controllers.works("c:1");
        // After a restart, too.
        let again = Controllers::load(folder.path(), None);
        assert_eq!(
            [again.next("a:1"), again.next("a:1"), again.next("a:1")],
            ["a:1", "b:1", "c:1"]
        );
    }

    #[test]
    fn nothing_is_forgotten_because_nothing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let controllers = Controllers::load(folder.path(), None);
        controllers.learn(vec!["b:1".into()]);
        controllers.learn(vec![]);
        controllers.next("a:1");
        assert_eq!(controllers.next("a:1"), "b:1");
    }
}
