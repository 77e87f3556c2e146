//! What was asked for and answered, by key and in time: the evidence that the checker judges.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What somebody did with a key: a register that is written and read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Did {
    Wrote(String),
    Read(String),
}

/// From when until when; all times from the beginning of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Operation {
    pub did: Did,
    pub asked: Duration,
    /// `None`: never answered, so it may have happened at any time after, or never.
    pub answered: Option<Duration>,
    /// Who was asked.
    pub at: String,
}

pub(crate) struct History {
    begin: Instant,
    keys: Mutex<BTreeMap<String, Vec<Operation>>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            keys: Mutex::default(),
        }
    }
}

impl History {
    pub(crate) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(crate) fn add(&self, key: &str, operation: Operation) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key.to_owned()).or_default().push(operation);
    }

    pub(crate) fn keys(&self) -> BTreeMap<String, Vec<Operation>> {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
