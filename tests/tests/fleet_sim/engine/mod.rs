//! The store of a simulated installation: what etcd promises, in memory, and faults that it must not
//! have, to see that they are found.

pub(crate) mod client;

use std::collections::{BTreeMap, VecDeque};

use foghorn_controller::store::{
    Change, Compare, Entry, Op, Revision, Snapshot, Txn, TxnOutcome, WatchBatch,
};

/// Faults that are put into a simulation on purpose: a checker that finds none of them is worth
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// A transaction is applied although what it relies on has changed.
    ComparesNothing,
    /// Now and then a watcher is not told of a change.
    LosesAnEvent,
    /// What was acknowledged is sometimes gone.
    ForgetsAWrite,
    /// A node reports a transfer as complete when it is half done.
    CompletesEarly,
    /// A node says that it has a copy before it has verified it.
    ReadyBeforeVerified,
}

impl Bug {
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("compares-nothing", Self::ComparesNothing),
        ("loses-an-event", Self::LosesAnEvent),
        ("forgets-a-write", Self::ForgetsAWrite),
        ("completes-early", Self::CompletesEarly),
        ("ready-before-verified", Self::ReadyBeforeVerified),
    ];
}

/// Changes that are kept for watchers.
const MOST_HISTORY: usize = 20_000;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Engine {
    pub(crate) revision: Revision,
    entries: BTreeMap<String, Entry>,
    history: VecDeque<WatchBatch>,
    pub(crate) compacted: Revision,
    pub(crate) bug: Option<Bug>,
    /// Counts transactions, for faults that come now and then.
    commits: u64,
}

impl Engine {
    /// An engine with these entries, and no history.
    pub(crate) fn with(snapshot: Snapshot) -> Self {
        let entries = snapshot.entries.into_iter();
        Self {
            revision: snapshot.revision,
            compacted: snapshot.revision,
            entries: entries.map(|entry| (entry.key.clone(), entry)).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        let from = self.entries.range(prefix.to_owned()..);
        from.take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry)
    }

    pub(crate) fn list(&self, prefix: &str) -> Snapshot {
        Snapshot {
            revision: self.revision,
            entries: self.under(prefix).cloned().collect(),
        }
    }

    pub(crate) fn range(&self, from: &str, to: &str, most: usize, backwards: bool) -> Vec<Entry> {
        if from >= to {
            return Vec::new();
        }
        let found = self.entries.range(from.to_owned()..to.to_owned());
        let found = found.map(|(_, entry)| entry.clone());
        if backwards {
            found.rev().take(most).collect()
        } else {
            found.take(most).collect()
        }
    }

    /// Applies a transaction; the batch is what it changed, in the order of keys.
    pub(crate) fn commit(&mut self, txn: &Txn) -> (TxnOutcome, Option<WatchBatch>) {
        self.commits += 1;
        let blind = self.bug == Some(Bug::ComparesNothing);
        if !blind && !txn.compares.iter().all(|compare| self.holds(compare)) {
            return (TxnOutcome::Conflict, None);
        }
        let mut ops: Vec<&Op> = txn.ops.iter().collect();
        ops.sort_by_key(|op| op.key());
        let revision = self.revision + 1;
        let forgets = self.bug == Some(Bug::ForgetsAWrite) && self.commits.is_multiple_of(40);
        if forgets {
            return (TxnOutcome::Committed(self.revision), None);
        }
        let changes: Vec<Change> = ops
            .into_iter()
            .filter_map(|op| self.apply(op, revision))
            .collect();
        if changes.is_empty() {
            return (TxnOutcome::Committed(self.revision), None);
        }
        self.revision = revision;
        let batch = WatchBatch { revision, changes };
        self.history.push_back(batch.clone());
        if self.history.len() > MOST_HISTORY {
            let dropped = self.history.pop_front();
            self.compacted = dropped.map_or(self.compacted, |batch| batch.revision);
        }
        (TxnOutcome::Committed(revision), Some(batch))
    }

    fn apply(&mut self, op: &Op, revision: Revision) -> Option<Change> {
        match op {
            Op::Put { key, value } => {
                let created = self.entries.get(key).map_or(revision, |old| old.created);
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created,
                    modified: revision,
                };
                self.entries.insert(key.clone(), entry.clone());
                Some(Change::Put(entry))
            }
            Op::Delete { key } => self.entries.remove(key).map(|_| Change::Delete {
                key: key.clone(),
                revision,
            }),
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Absent(key) => !self.entries.contains_key(key),
            Compare::Present(key) => self.entries.contains_key(key),
            Compare::ModifiedAt(key, at) => {
                self.entries.get(key).map(|entry| entry.modified) == Some(*at)
            }
        }
    }

    /// What a watcher of `prefix` that has seen `after` is to be told next; `Err` when that is
    /// forgotten.
    pub(crate) fn since(&self, prefix: &str, after: Revision) -> Result<Vec<WatchBatch>, Revision> {
        if after < self.compacted {
            return Err(self.compacted);
        }
        let from = self
            .history
            .partition_point(|batch| batch.revision <= after);
        let batches = self.history.range(from..).filter_map(|batch| {
            let seen = |change: &&Change| change.key().starts_with(prefix);
            let changes: Vec<_> = batch.changes.iter().filter(seen).cloned().collect();
            let revision = batch.revision;
            (!changes.is_empty()).then_some(WatchBatch { revision, changes })
        });
        Ok(batches.collect())
    }

    pub(crate) fn compact(&mut self, revision: Revision) {
        let revision = revision.min(self.revision);
        self.compacted = self.compacted.max(revision);
        let keep = |batch: &WatchBatch| batch.revision > revision;
        let from = self.history.partition_point(|batch| !keep(batch));
        self.history.drain(..from);
    }
}
