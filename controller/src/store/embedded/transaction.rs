//! One redb transaction that holds many of ours.

use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::{
    COMPACTED, HISTORY, Happened, KEYS, LAST_LEASE, LEASE_KEYS, LEASES, NUMBERS, REVISION, Stored, number,
};
use crate::store::{Compare, LeaseId, Op, Revision, StoreError, Txn, TxnOutcome};

/// Open tables and the numbers that go with them. Errors of redb end the whole group; a refusal of one transaction is a
/// value, and has changed nothing.
pub(super) struct Group<'txn> {
    keys: Table<'txn, &'static str, Stored<'static>>,
    history: Table<'txn, (u64, u32), Happened<'static>>,
    leases: Table<'txn, i64, u64>,
    lease_keys: Table<'txn, (i64, &'static str), ()>,
    numbers: Table<'txn, &'static str, u64>,
    revision: Revision,
}

/// What a present entry has to tell to the one that replaces it.
#[derive(Clone, Copy)]
struct Old {
    created: Revision,
    modified: Revision,
    lease: i64,
}

impl<'txn> Group<'txn> {
    pub(super) fn begin(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let numbers = txn.open_table(NUMBERS)?;
        Ok(Self {
            revision: number(&numbers, REVISION)?,
            keys: txn.open_table(KEYS)?,
            history: txn.open_table(HISTORY)?,
            leases: txn.open_table(LEASES)?,
            lease_keys: txn.open_table(LEASE_KEYS)?,
            numbers,
        })
    }

    /// Writes the last revision and gives it back. The tables are closed: the redb transaction can be committed.
    pub(super) fn finish(mut self) -> Result<Revision, redb::Error> {
        self.numbers.insert(REVISION, self.revision)?;
        Ok(self.revision)
    }

    pub(super) fn commit(&mut self, txn: &Txn) -> Result<Result<TxnOutcome, StoreError>, redb::Error> {
        for compare in &txn.compares {
            if !self.holds(compare)? {
                return Ok(Ok(TxnOutcome::Conflict));
            }
        }
        for op in &txn.ops {
            if let Op::Put { lease: Some(lease), .. } = op
                && self.leases.get(lease.0)?.is_none()
            {
                return Ok(Err(StoreError::NoSuchLease(*lease)));
            }
        }
        let mut ops: Vec<&Op> = txn.ops.iter().collect();
        ops.sort_unstable_by_key(|op| op.key());
        self.apply(&ops)?;
        Ok(Ok(TxnOutcome::Committed(self.revision)))
    }

    /// A lease that no earlier one shares its number with.
    pub(super) fn grant(&mut self, seconds: u64) -> Result<LeaseId, redb::Error> {
        let last = number(&self.numbers, LAST_LEASE)? + 1;
        self.numbers.insert(LAST_LEASE, last)?;
        let lease = i64::try_from(last).expect("nobody grants 2^63 leases");
        self.leases.insert(lease, seconds)?;
        Ok(LeaseId(lease))
    }

    /// Ends a lease and deletes its keys at one revision. `false` when there is no such lease.
    pub(super) fn end_lease(&mut self, lease: LeaseId) -> Result<bool, redb::Error> {
        if self.leases.remove(lease.0)?.is_none() {
            return Ok(false);
        }
        let mut ops = Vec::new();
        for row in self.lease_keys.range((lease.0, "")..)? {
            let (place, ()) = row.map(|(place, unit)| (place, unit.value()))?;
            let (owner, key) = place.value();
            if owner != lease.0 {
                break;
            }
            ops.push(Op::Delete { key: key.to_owned() });
        }
        self.apply(&ops.iter().collect::<Vec<_>>())?;
        Ok(true)
    }

    pub(super) fn compact(&mut self, revision: Revision) -> Result<Result<(), StoreError>, redb::Error> {
        if revision > self.revision {
            let why = format!("revision {revision} is yet to come, the last one is {}", self.revision);
            return Ok(Err(StoreError::Invalid { doing: "compact the history", why }));
        }
        if revision > number(&self.numbers, COMPACTED)? {
            self.history.retain_in(..=(revision, u32::MAX), |_, _| false)?;
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

    /// Applies operations, given in key order, at the next revision. That is not used up when nothing changes.
    fn apply(&mut self, ops: &[&Op]) -> Result<(), redb::Error> {
        let revision = self.revision + 1;
        let mut place = 0;
        for op in ops {
            let old = self.old(op.key())?;
            let happened: Happened<'_> = match op {
                Op::Put { key, value, lease } => {
                    let created = old.map_or(revision, |old| old.created);
                    let lease = lease.map_or(0, |lease| lease.0);
                    self.attach(key, old, lease)?;
                    self.keys.insert(key.as_str(), (created, revision, lease, value.as_ref()))?;
                    (key, created, lease, Some(value.as_ref()))
                }
                Op::Delete { key } => {
                    let Some(old) = old else { continue };
                    self.attach(key, Some(old), 0)?;
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

    /// Moves `key` from the lease of its old entry to `lease`.
    fn attach(&mut self, key: &str, old: Option<Old>, lease: i64) -> Result<(), redb::Error> {
        let before = old.map_or(0, |old| old.lease);
        if before != 0 && before != lease {
            self.lease_keys.remove((before, key))?;
        }
        if lease != 0 && before != lease {
            self.lease_keys.insert((lease, key), ())?;
        }
        Ok(())
    }

    fn old(&self, key: &str) -> Result<Option<Old>, redb::Error> {
        Ok(self.keys.get(key)?.map(|stored| {
            let (created, modified, lease, _) = stored.value();
            Old { created, modified, lease }
        }))
    }
}
