//! What a machine does to take over a config: ordered steps, from the config before, the new one and what is on its disk.
//!
//! A machine may die between any two steps. It then begins again from the same config before, which is replaced last, and
//! from [`Pending`], which it stored before the first step: so the handler of a file that was written already still runs, and
//! a file of a config that never became the present one is still removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clash::clashes;
use crate::{Document, FileName, OpenedFile};

/// What is on the disk under the name of a file of the new config.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A file with this content.
    Same,
    /// Anything else.
    Different,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Write the file of the new config, with the folders it needs.
    Write(FileName),
    /// Remove the file, if it is there.
    Remove(FileName),
    /// Remove the folders that the file was in, from the innermost, as long as they are empty.
    RemoveEmptyFolders(FileName),
    /// Run a handler.
    Run {
        /// The file that was written or removed.
        name: FileName,
        /// Program and arguments; never empty.
        argv: Vec<String>,
    },
}

/// What has begun and is not known to be done.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pending(pub BTreeMap<FileName, PendingFile>);

/// One file of what has begun.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct PendingFile {
    /// The handler that the file came with.
    pub on_changed: Vec<String>,
    /// Whether it may not have run yet.
    pub owed: bool,
}

/// What there is before the first step.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The stored document; `None` when there is none.
    pub previous: Option<&'a Document>,
    /// The config to take over.
    pub new: &'a BTreeMap<FileName, OpenedFile>,
    /// Of files of the new config; a file that is not named is missing.
    pub found: &'a BTreeMap<FileName, Found>,
    /// Left behind by a run that did not come to its end.
    pub pending: &'a Pending,
}

/// The way to the new config.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// In their order.
    pub steps: Vec<Step>,
    /// To be stored before the first of them, and removed after the new document was stored.
    pub pending: Pending,
}

/// Plans the steps: what is in the way of a new file goes first; then each file that is new or different is written and its
/// handler runs; then what the new config does not have any more is removed, and the handler that came with it runs.
/// Handlers of files that are the same do not run, unless a run before this one owes them.
#[must_use]
pub fn plan(before: &Before<'_>) -> Plan {
    let former = former(before);
    let mut plan = Plan::default();
    let mut gone: BTreeMap<&FileName, &Vec<String>> = former
        .iter()
        .filter(|(name, _)| !before.new.contains_key(*name))
        .map(|(name, handler)| (name, *handler))
        .collect();
    for name in before.new.keys() {
        for clash in clashes(&former, name) {
            if let Some((name, handler)) = gone.remove_entry(&clash) {
                plan.remove(name, handler);
            }
        }
    }
    for (name, file) in before.new {
        let is_same = before.found.get(name) == Some(&Found::Same);
        if !is_same {
            plan.steps.push(Step::Write(name.clone()));
        }
        let is_owed = before.pending.0.get(name).is_some_and(|file| file.owed);
        let runs = !is_same || is_owed;
        if runs {
            plan.run(name, &file.on_changed);
        }
        plan.note(name, &file.on_changed, runs);
    }
    for (name, handler) in gone {
        plan.remove(name, handler);
    }
    plan
}

/// The files that may be there, with the handlers that run when they are removed.
fn former<'a>(before: &Before<'a>) -> BTreeMap<FileName, &'a Vec<String>> {
    let begun = before
        .pending
        .0
        .iter()
        .map(|(name, file)| (name, &file.on_changed));
    let known = before.previous.into_iter().flat_map(|document| &document.0);
    let known = known.map(|(name, file)| (name, &file.on_changed));
    // The handler of the previous document counts, so it is put over the other.
    let all = begun.chain(known);
    all.map(|(name, handler)| (name.clone(), handler)).collect()
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn run(&mut self, name: &FileName, argv: &[String]) {
        if !argv.is_empty() {
            self.steps.push(Step::Run {
                name: name.clone(),
                argv: argv.to_vec(),
            });
        }
    }

    fn remove(&mut self, name: &FileName, handler: &[String]) {
        self.steps.push(Step::Remove(name.clone()));
        self.run(name, handler);
        self.steps.push(Step::RemoveEmptyFolders(name.clone()));
        self.note(name, handler, true);
    }

    fn note(&mut self, name: &FileName, handler: &[String], owed: bool) {
        let file = PendingFile {
            on_changed: handler.to_vec(),
            owed,
        };
        self.pending.0.insert(name.clone(), file);
    }
}

#[cfg(test)]
mod tests;
