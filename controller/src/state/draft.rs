//! A change of the state under construction: objects, their guards, their ids, gathered into one
//! transaction.
//!
//! A draft is made from what the cache shows. Whatever it relied on becomes a compare, so a draft
//! that was overtaken is not applied but made again from newer state ([`super::State::write`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::Timestamp;

use super::actor::Actor;
use super::audit::{self, Notes};
use super::class::{Clash, Class, Reference};
use super::ids::{Given, IdLoan};
use super::key;
use super::record;
use super::refusal::Refusal;
use super::row::Row;
use super::shelf::Record;
use super::tables::Tables;
use crate::store::{Compare, MAX_OPS, MAX_TXN_BYTES, Op, Txn};

/// Operations, and compares, that related rows may take up in one draft. The rest of a transaction
/// is for the object itself, its guards and the counters of ids.
const STEP_OPS: usize = MAX_OPS - 16;
/// Bytes of related rows in one draft.
const STEP_BYTES: usize = MAX_TXN_BYTES / 2;

/// See the module.
pub struct Draft<'t> {
    tables: &'t Tables,
    compares: BTreeMap<String, Compare>,
    ops: BTreeMap<String, Op>,
    ids: IdLoan,
    /// Guard keys that this draft takes, with the new owner.
    taken: HashMap<String, u32>,
    /// Which draft of a change in steps this is, from 0.
    step: usize,
    /// Bytes of related rows so far.
    bytes: usize,
    /// Related rows that had no room.
    postponed: usize,
    /// Which fields change, for the audit log.
    pub(super) notes: Notes,
}

impl<'t> Draft<'t> {
    pub(crate) fn new(tables: &'t Tables, ids: IdLoan, step: usize) -> Self {
        Self {
            tables,
            compares: BTreeMap::new(),
            ops: BTreeMap::new(),
            ids,
            taken: HashMap::new(),
            step,
            bytes: 0,
            postponed: 0,
            notes: Notes::default(),
        }
    }

    /// Whether related rows that need `ops` operations or compares and `bytes` still fit. When they
    /// don't, they are counted as postponed, nothing that is asked for later fits either, and
    /// [`super::State::write_in_steps`] drafts again.
    pub fn has_room(&mut self, ops: usize, bytes: usize) -> bool {
        let used = self.ops.len().max(self.compares.len());
        // The first one always fits: a change whose every step does something comes to an end.
        let fits = self.bytes == 0 || (used + ops <= STEP_OPS && self.bytes + bytes <= STEP_BYTES);
        if self.postponed > 0 || !fits {
            self.postponed += 1;
            return false;
        }
        self.bytes += bytes.max(1);
        true
    }

    /// Related rows that had no room in this draft.
    #[must_use]
    pub fn postponed(&self) -> usize {
        self.postponed
    }

    /// Whether an earlier step of the same change has been stored.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.step > 0
    }

    /// Deletes as many of the rows as have room.
    pub fn delete_each<'r, C: Class>(&mut self, rows: impl Iterator<Item = &'r Arc<Row<C>>>) {
        for row in rows {
            if self.has_room(1 + row.uniques().len() + usize::from(C::POINTED_AT), 1) {
                self.delete(row);
            }
        }
    }

    /// The state that the draft starts from; its own changes are not in it.
    #[must_use]
    pub fn tables(&self) -> &'t Tables {
        self.tables
    }

    /// A new id of class `C`: one that was never given out, the smallest that this controller has.
    pub fn next_id<C: Class>(&mut self) -> u32 {
        self.next_id_of(C::NAME)
    }

    /// See [`Draft::next_id`].
    pub fn next_id_of(&mut self, class: &'static str) -> u32 {
        match self.ids.next(class, self.tables) {
            Given::FromMemory(id) => id,
            Given::FromBlock { id, end } => {
                self.put_sequence(class, end);
                id
            }
        }
    }

    /// Keeps later ids of class `C` above one that was not given out by counting.
    pub fn skip_to<C: Class>(&mut self, id: u32) {
        let end = self.ids.skip(C::NAME, id, self.tables);
        self.put_sequence(C::NAME, end);
    }

    /// Moves the last id that belongs to anybody; the draft is worth nothing if somebody else does
    /// meanwhile.
    fn put_sequence(&mut self, class: &str, end: u32) {
        let key = key::sequence(class);
        let compare = match self.tables.sequence(class) {
            Some(sequence) => Compare::ModifiedAt(key.clone(), sequence.modified),
            None => Compare::Absent(key.clone()),
        };
        self.compares.insert(key.clone(), compare);
        self.put(key, Bytes::from(end.to_string()));
    }

    /// Makes worthless every other draft that relies on no new object of this class.
    pub(super) fn announce(&mut self, class: &str, id: u32) {
        self.put(key::announcement(class), Bytes::from(id.to_string()));
    }

    /// The draft is worth nothing if an object of this class is announced meanwhile.
    pub(super) fn require_unannounced(&mut self, class: &str) {
        let key = key::announcement(class);
        let compare = match self.tables.announced(class) {
            Some(revision) => Compare::ModifiedAt(key.clone(), revision),
            None => Compare::Absent(key.clone()),
        };
        self.compares.insert(key, compare);
    }

    /// Of several drafts that take one turn, one is stored; the others are drafted again and see
    /// what it did. For a check of rows that do not exist yet, which no compare of a row can guard.
    pub fn take_turn(&mut self, turn: &str, id: u32) {
        self.require_unannounced(turn);
        self.announce(turn, id);
    }

    /// Like [`Draft::take_turn`], of one object; whoever begins to point at the object takes the turn
    /// too. For a check of what belongs to it.
    pub fn take_turn_of<C: Class>(&mut self, id: u32) {
        self.take_turn_of_object(C::NAME, id);
    }

    /// See [`Draft::take_turn_of`]. Nobody else knows an object that is not in the tables yet.
    pub(super) fn take_turn_of_object(&mut self, class: &str, id: u32) {
        if self.tables.has_object(class, id) {
            self.take_turn(&key::turn_of(class, id), id);
        }
    }

    /// The draft is worth nothing if something begins to point at the object meanwhile.
    fn require_unpointed(&mut self, class: &str, id: u32) {
        self.require_unannounced(&key::turn_of(class, id));
    }

    /// The object begins to point at another one: that must not be deleted meanwhile, and whoever is
    /// about to delete it has to look again. As on a FOG server an object may point at nothing.
    fn point_at(&mut self, to: Reference) {
        let key = key::object(to.class, to.id);
        // Nobody else knows an object that this draft makes: it is not in the tables.
        let is_there = to.id != 0 && self.tables.has_object(to.class, to.id);
        if !is_there || self.deletes_key(&key) {
            return;
        }
        self.compares
            .entry(key.clone())
            .or_insert(Compare::Present(key));
        self.announce(&key::turn_of(to.class, to.id), to.id);
    }

    /// Stores a new object under the id it has, or under the next one when it has none.
    ///
    /// # Errors
    /// [`Refusal::Taken`] when a unique value belongs to another row.
    pub fn insert<C: Class>(&mut self, mut object: C) -> Result<u32, Refusal> {
        if object.id() == 0 {
            object.set_id(self.next_id::<C>());
        }
        let id = object.id();
        let key = key::object(C::NAME, id);
        self.guard(None, &object)?;
        object
            .points_at()
            .into_iter()
            .for_each(|to| self.point_at(to));
        self.notes.changed(&key, &C::default(), &object);
        self.compares
            .insert(key.clone(), Compare::Absent(key.clone()));
        self.put(key, record::encode(&object));
        if C::ANNOUNCED {
            self.announce(C::NAME, id);
        }
        Ok(id)
    }

    /// Replaces a row.
    ///
    /// # Errors
    /// [`Refusal::Taken`] when a unique value belongs to another row.
    pub fn update<C: Class>(&mut self, row: &Row<C>, object: &C) -> Result<(), Refusal> {
        self.guard(Some(row), object)?;
        let before = row.points_at();
        let new = object.points_at().into_iter();
        new.filter(|to| !before.contains(to))
            .for_each(|to| self.point_at(to));
        self.unchanged(row);
        let key = key::object(C::NAME, row.id());
        self.notes.changed(&key, &**row, object);
        self.put(key, record::encode(object));
        Ok(())
    }

    pub fn delete<C: Class>(&mut self, row: &Row<C>) {
        for unique in row.uniques() {
            self.remove(key::unique(C::NAME, unique.field, &unique.value));
        }
        self.unchanged(row);
        self.remove(key::object(C::NAME, row.id()));
        if C::POINTED_AT {
            self.require_unpointed(C::NAME, row.id());
            let turn = key::turn_of(C::NAME, row.id());
            if self.tables.announced(&turn).is_some() {
                self.remove(key::announcement(&turn));
            }
        }
    }

    /// The draft is worth nothing if this row changes meanwhile.
    pub fn unchanged<C: Class>(&mut self, row: &Row<C>) {
        let key = key::object(C::NAME, row.id());
        self.compares
            .insert(key.clone(), Compare::ModifiedAt(key, row.modified()));
    }

    /// The draft is worth nothing if this object is deleted meanwhile.
    pub fn require_present<C: Class>(&mut self, id: u32) {
        let key = key::object(C::NAME, id);
        self.compares
            .entry(key.clone())
            .or_insert(Compare::Present(key));
    }

    /// The draft is worth nothing if an object of class `C` is created meanwhile. The class has to
    /// be [`Class::ANNOUNCED`]; the compiler checks it.
    pub fn require_no_new<C: Class>(&mut self) {
        const {
            assert!(
                C::ANNOUNCED,
                "a class whose new objects matter to others says so: ANNOUNCED"
            )
        };
        self.require_unannounced(C::NAME);
    }

    /// Adds a compare about a key that is not an object's.
    pub fn require(&mut self, compare: Compare) {
        let key = match &compare {
            Compare::Absent(key) | Compare::Present(key) | Compare::ModifiedAt(key, _) => {
                key.clone()
            }
        };
        self.compares.insert(key, compare);
    }

    /// Adds an operation on a key that is not an object's; a later one on the same key wins.
    pub fn operate(&mut self, op: Op) {
        let key = match &op {
            Op::Put { key, .. } | Op::Delete { key } => key.clone(),
        };
        self.ops.insert(key, op);
    }

    /// Stores a record, whatever is there.
    pub fn store<R: Record>(&mut self, record: &R) {
        self.operate(record.put_op());
    }

    /// Deletes the record with this id, whatever it is.
    pub fn forget<R: Record>(&mut self, id: &R::Id) {
        self.operate(R::delete_op(id));
    }

    /// Stores a record in place of the one that it was made from. The draft is worth nothing if
    /// that changes meanwhile.
    pub fn replace<R: Record>(&mut self, record: &R) {
        self.require(R::unchanged(record));
        self.operate(R::put_op(record));
    }

    /// Deletes a record. The draft is worth nothing if it changes meanwhile.
    pub fn discard<R: Record>(&mut self, record: &R) {
        self.require(R::unchanged(record));
        self.operate(R::delete_op(&record.id()));
    }

    /// Whether this draft deletes the object.
    #[must_use]
    pub fn deletes<C: Class>(&self, id: u32) -> bool {
        self.deletes_key(&key::object(C::NAME, id))
    }

    pub(super) fn deletes_key(&self, key: &str) -> bool {
        matches!(self.ops.get(key), Some(Op::Delete { .. }))
    }

    pub(super) fn puts_key(&self, key: &str) -> bool {
        matches!(self.ops.get(key), Some(Op::Put { .. }))
    }

    /// Whether the draft relies on something about the key.
    pub(super) fn compares_key(&self, key: &str) -> bool {
        self.compares.contains_key(key)
    }

    fn put(&mut self, key: String, value: Bytes) {
        self.ops.insert(key.clone(), Op::Put { key, value });
    }

    fn remove(&mut self, key: String) {
        self.taken.remove(&key);
        self.ops.insert(key.clone(), Op::Delete { key });
    }

    /// Moves the guards from what the row was to what the object is.
    fn guard<C: Class>(&mut self, old: Option<&Row<C>>, object: &C) -> Result<(), Refusal> {
        let before = old.map(|row| row.uniques()).unwrap_or_default();
        let after = object.uniques();
        for unique in before.iter().filter(|unique| !after.contains(unique)) {
            self.release(C::NAME, unique.field, &unique.value);
        }
        for unique in after {
            let owner = self.tables.of::<C>().owner(unique.field, &unique.value);
            self.claim(
                C::NAME,
                unique.field,
                unique.field,
                &unique.value,
                object.id(),
                owner,
            )?;
        }
        Ok(())
    }

    /// Takes a unique value for the object `id`. `complaint` is the field that a refusal names,
    /// `owner` who has the value according to the tables.
    pub(super) fn claim(
        &mut self,
        class: &'static str,
        complaint: &'static str,
        field: &str,
        value: &str,
        id: u32,
        owner: Option<u32>,
    ) -> Result<(), Refusal> {
        let guard = key::unique(class, field, value);
        let freed = self.deletes_key(&guard);
        match self.taken.get(&guard).copied().or(owner.filter(|_| !freed)) {
            Some(owner) if owner == id => return Ok(()),
            Some(owner) => {
                return Err(Refusal::Taken {
                    class,
                    field: complaint,
                    value: value.to_owned(),
                    owner,
                });
            }
            None => {}
        }
        // A guard that this draft frees is covered by the compare of the row that owned it.
        if !self.ops.contains_key(&guard) {
            self.compares
                .insert(guard.clone(), Compare::Absent(guard.clone()));
        }
        self.taken.insert(guard.clone(), id);
        self.put(guard, Bytes::from(id.to_string()));
        Ok(())
    }

    /// Gives a unique value back.
    pub(super) fn release(&mut self, class: &str, field: &str, value: &str) {
        self.remove(key::unique(class, field, value));
    }

    /// The row that a new object would become, by a unique value whose clash means merging.
    pub(crate) fn merges_into<C: Class>(&self, object: &C) -> Option<u32> {
        let table = self.tables.of::<C>();
        object
            .uniques()
            .iter()
            .filter(|unique| unique.clash == Clash::Merge)
            .find_map(|unique| table.owner(unique.field, &unique.value))
    }

    /// The transaction, with an entry in the audit log when somebody asked for it, and the ids to
    /// be told what became of it.
    pub(crate) fn into_parts(mut self, actor: Option<&Actor>) -> (Txn, IdLoan) {
        // What changes nothing is no entry either.
        if !self.ops.is_empty()
            && let Some(actor) = actor
            && let Some(op) = audit::put_op(
                actor,
                self.ops.values(),
                &self.compares,
                &self.notes,
                self.tables,
                Timestamp::now(),
            )
        {
            self.operate(op);
        }
        (
            Txn {
                compares: self.compares.into_values().collect(),
                ops: self.ops.into_values().collect(),
            },
            self.ids,
        )
    }
}

/// Ids in the store start above what a first run stored; for use by that first run only.
pub(crate) fn sequence_op(class: &str, last: u32) -> Op {
    Op::Put {
        key: key::sequence(class),
        value: Bytes::from(last.to_string()),
    }
}
