//! One redb transaction that holds many of ours.

use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::{COMPACTED, HISTORY, Happened, KEYS, NUMBERS, REVISION, Stored, number};
use crate::store::{Compare, Op, Revision, StoreError, Txn, TxnOutcome};

/// Open tables and the numbers that go with them. Errors of redb end the whole group; a refusal of
/// one transaction is a value, and has changed nothing.
pub(super) struct Group<'txn> {
    keys: Table<'txn, &'static str, Stored<'static>>,
    history: Table<'txn, (u64, u32), Happened<'static>>,
    numbers: Table<'txn, &'static str, u64>,
    revision: Revision,
}

/// What a present entry has to tell to the one that replaces it.
#[derive(Clone, Copy)]
struct Old {
    created: Revision,
    modified: Revision,
}

impl<'txn> Group<'txn> {
    pub(super) fn begin(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let numbers = txn.open_table(NUMBERS)?;
        Ok(Self {
            revision: number(&numbers, REVISION)?,
            keys: txn.open_table(KEYS)?,
            history: txn.open_table(HISTORY)?,
            numbers,
        })
    }

    /// Writes the last revision and gives it back. The tables are closed: the redb transaction can
    /// be committed.
    pub(super) fn finish(mut self) -> Result<Revision, redb::Error> {
        self.numbers.insert(REVISION, self.revision)?;
        Ok(self.revision)
    }

    pub(super) fn commit(&mut self, txn: &Txn) -> Result<TxnOutcome, redb::Error> {
        for compare in &txn.compares {
            if !self.holds(compare)? {
                return Ok(TxnOutcome::Conflict);
            }
        }
        let mut ops: Vec<&Op> = txn.ops.iter().collect();
        ops.sort_unstable_by_key(|op| op.key());
        self.apply(&ops)?;
        Ok(TxnOutcome::Committed(self.revision))
    }

    pub(super) fn compact(
        &mut self,
        revision: Revision,
    ) -> Result<Result<(), StoreError>, redb::Error> {
        if revision > self.revision {
            let why = format!(
                "revision {revision} is in the future, the last one is {}",
                self.revision
            );
            return Ok(Err(StoreError::Invalid {
                doing: "compact the history",
                why,
            }));
        }
        if revision > number(&self.numbers, COMPACTED)? {
            self.history
                .retain_in(..=(revision, u32::MAX), |_, _| false)?;
            self.numbers.insert(COMPACTED, revision)?;
        }
        Ok(Ok(()))
    }

    fn holds(&self, compare: &Compare) -> Result<bool, redb::Error> {
        let found = self.old(compare.key())?;
        Ok(match compare {
            Compare::Absent(_) => found.is_none(),
            Compare::Present(_) => found.is_some(),
            Compare::ModifiedAt(_, revision) => found.is_some_and(|old| old.modified == *revision),
        })
    }

    /// Applies operations, given in key order, at the next revision. That is not used up when
    /// nothing changes.
    fn apply(&mut self, ops: &[&Op]) -> Result<(), redb::Error> {
        let revision = self.revision + 1;
        let mut place = 0;
        for op in ops {
            let old = self.old(op.key())?;
            let happened: Happened<'_> = match op {
                Op::Put { key, value } => {
                    let created = old.map_or(revision, |old| old.created);
                    self.keys
                        .insert(key.as_str(), (created, revision, 0, value.as_ref()))?;
                    (key, created, 0, Some(value.as_ref()))
                }
                Op::Delete { key } => {
                    let Some(old) = old else { continue };
                    self.keys.remove(key.as_str())?;
                    (key, old.created, 0, None)
                }
            };
            self.history.insert((revision, place), happened)?;
            place += 1;
        }
        if place > 0 {
            self.revision = revision;
        }
        Ok(())
    }

    fn old(&self, key: &str) -> Result<Option<Old>, redb::Error> {
        Ok(self.keys.get(key)?.map(|stored| {
            let (created, modified, ..) = stored.value();
            Old { created, modified }
        }))
    }
}
