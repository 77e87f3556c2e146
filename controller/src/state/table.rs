//! All rows of one class in memory, with their indexes.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::class::Class;
use super::needle::Needle;
use super::record;
use super::row::{Row, no_fields};
use super::search_text::SearchText;
use super::value::fold;
use crate::store::{Entry, Revision};

/// Rows of class `C` by id, by name, by unique value and by the class's own indexes.
pub struct Table<C: Class> {
    rows: BTreeMap<u32, Arc<Row<C>>>,
    /// Folded name and id: the order of lists of a class with names.
    by_name: BTreeSet<(String, u32)>,
    uniques: HashMap<(&'static str, String), u32>,
    indexes: Vec<HashMap<u64, BTreeSet<u32>>>,
    /// Rows that lists leave out.
    unlisted: usize,
    /// The stored fields without the secret ones.
    texts: SearchText,
    /// [`Class::search_key`] of each row that has one.
    keys: SearchText,
    /// The stored fields of an object that is missing, as members of a JSON object.
    missing: Box<str>,
}

/// FOG keeps rows whose name has this (not at its start) out of lists and searches.
const HIDDEN: &[u8] = b"_API_";

/// Whether lists and searches show a row with this name.
#[must_use]
pub fn is_listed_name(name: &str) -> bool {
    let name = name.trim().as_bytes();
    name.len() <= HIDDEN.len()
        || !name[1..]
            .windows(HIDDEN.len())
            .any(|part| part.eq_ignore_ascii_case(HIDDEN))
}

/// Whether lists and searches show the row.
#[must_use]
pub fn is_listed<C: Class>(row: &C) -> bool {
    !C::NAMED || is_listed_name(row.name())
}

impl<C: Class> Default for Table<C> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_name: BTreeSet::new(),
            uniques: HashMap::new(),
            indexes: (0..C::INDEXES).map(|_| HashMap::new()).collect(),
            unlisted: 0,
            texts: SearchText::default(),
            keys: SearchText::default(),
            missing: no_fields::<C>(),
        }
    }
}

impl<C: Class> Table<C> {
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&Arc<Row<C>>> {
        self.rows.get(&id)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Row<C>>> {
        self.rows.values()
    }

    /// Rows in the order of lists: by name without case, by id where the class has no name.
    pub fn ordered(&self) -> Box<dyn Iterator<Item = &Arc<Row<C>>> + '_> {
        if C::NAMED {
            Box::new(self.by_name.iter().filter_map(|(_, id)| self.rows.get(id)))
        } else {
            Box::new(self.rows.values())
        }
    }

    /// Rows in the order of lists, or backwards, without the first `skip`, which are not looked at.
    pub fn in_order(
        &self,
        backwards: bool,
        skip: usize,
    ) -> Box<dyn Iterator<Item = &Arc<Row<C>>> + '_> {
        if !C::NAMED {
            return self.by_id(backwards, skip);
        }
        let names = self.by_name.iter();
        let row = |(_, id): &(String, u32)| self.rows.get(id);
        if backwards {
            Box::new(names.rev().skip(skip).filter_map(row))
        } else {
            Box::new(names.skip(skip).filter_map(row))
        }
    }

    /// Rows by id, or backwards, without the first `skip`.
    pub fn by_id(
        &self,
        backwards: bool,
        skip: usize,
    ) -> Box<dyn Iterator<Item = &Arc<Row<C>>> + '_> {
        if backwards {
            Box::new(self.rows.values().rev().skip(skip))
        } else {
            Box::new(self.rows.values().skip(skip))
        }
    }

    /// Rows in the order of their names, from behind this one on, which need not exist any more.
    pub fn named_after(&self, name: Option<&str>) -> impl Iterator<Item = &Arc<Row<C>>> {
        let start = match name {
            Some(name) => Bound::Excluded((fold(name), u32::MAX)),
            None => Bound::Unbounded,
        };
        self.by_name
            .range((start, Bound::Unbounded))
            .filter_map(|(_, id)| self.rows.get(id))
    }

    /// Rows by id, or backwards, from behind this one on, which need not exist any more.
    pub fn after_id(
        &self,
        backwards: bool,
        id: Option<u32>,
    ) -> Box<dyn Iterator<Item = &Arc<Row<C>>> + '_> {
        let id = id.map_or(Bound::Unbounded, Bound::Excluded);
        if backwards {
            Box::new(self.rows.range((Bound::Unbounded, id)).rev().map(|at| at.1))
        } else {
            Box::new(self.rows.range((id, Bound::Unbounded)).map(|at| at.1))
        }
    }

    /// How many rows lists leave out ([`is_listed`]).
    #[must_use]
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Rows whose key in index `number` is `key`, by id.
    pub fn by(&self, number: usize, key: u64) -> impl DoubleEndedIterator<Item = &Arc<Row<C>>> {
        self.indexes
            .get(number)
            .and_then(|index| index.get(&key))
            .into_iter()
            .flatten()
            .filter_map(|id| self.rows.get(id))
    }

    /// How many rows have `key` in index `number`.
    #[must_use]
    pub fn count_by(&self, number: usize, key: u64) -> usize {
        self.indexes
            .get(number)
            .and_then(|index| index.get(&key))
            .map_or(0, BTreeSet::len)
    }

    /// The rows of which a stored field contains the needle, in no particular order. Secrets are
    /// not searched.
    pub(crate) fn hits<'t, 'n>(
        &'t self,
        needle: &'n Needle,
    ) -> impl Iterator<Item = &'t Arc<Row<C>>> + use<'t, 'n, C> {
        let candidates = match needle.longest_text() {
            Some(text) => self.texts.find(text),
            None => self.rows.keys().copied().collect(),
        };
        candidates
            .into_iter()
            .filter_map(|id| self.get(id))
            .filter(move |row| {
                // A plain text that is somewhere in the row's texts is in one of its fields.
                needle.is_plain()
                    || C::FIELDS
                        .iter()
                        .filter(|field| !field.hides(row))
                        .any(|field| needle.hits(&field.show(row)))
            })
    }

    /// The rows whose [`Class::search_key`] contains `part`, which is folded and not empty.
    pub(crate) fn holding_key(&self, part: &str) -> impl Iterator<Item = &Arc<Row<C>>> {
        self.keys
            .find(part)
            .into_iter()
            .filter_map(|id| self.rows.get(&id))
    }

    /// The stored fields of an object that is missing, as members of a JSON object without braces.
    pub(crate) fn missing(&self) -> &str {
        &self.missing
    }

    /// The first row with this name, without regard to case.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Row<C>>> {
        let name = fold(name);
        let (found, id) = self.by_name.range((name.clone(), 0)..).next()?;
        if *found == name {
            self.rows.get(id)
        } else {
            None
        }
    }

    /// Who owns a unique value.
    #[must_use]
    pub fn owner(&self, field: &'static str, value: &str) -> Option<u32> {
        self.uniques.get(&(field, value.to_owned())).copied()
    }

    fn insert(&mut self, object: C, modified: Revision) {
        let id = object.id();
        self.remove(id);
        if C::NAMED {
            self.by_name.insert((fold(object.name()), id));
        }
        for unique in object.uniques() {
            self.uniques.insert((unique.field, unique.value), id);
        }
        for (number, index) in self.indexes.iter_mut().enumerate() {
            if let Some(key) = object.index_key(number) {
                index.entry(key).or_default().insert(id);
            }
        }
        self.unlisted += usize::from(!is_listed(&object));
        self.texts.put(
            id,
            C::FIELDS
                .iter()
                .filter(|field| !field.hides(&object))
                .map(|field| field.show(&object)),
        );
        if let Some(key) = object.search_key() {
            self.keys.put(id, std::iter::once(key));
        }
        self.rows.insert(id, Arc::new(Row::new(object, modified)));
    }

    fn remove(&mut self, id: u32) {
        let Some(row) = self.rows.remove(&id) else {
            return;
        };
        self.unlisted -= usize::from(!is_listed::<C>(&row));
        self.texts.remove(id);
        self.keys.remove(id);
        self.by_name.remove(&(fold(row.name()), id));
        for unique in row.uniques() {
            let place = (unique.field, unique.value);
            // The value may have moved to another row by an earlier change of the same revision.
            if self.uniques.get(&place) == Some(&id) {
                self.uniques.remove(&place);
            }
        }
        for (number, index) in self.indexes.iter_mut().enumerate() {
            let Some(key) = row.index_key(number) else {
                continue;
            };
            if let Some(ids) = index.get_mut(&key) {
                ids.remove(&id);
                if ids.is_empty() {
                    index.remove(&key);
                }
            }
        }
    }
}

/// A table whose class is known to the list of classes only.
pub(crate) trait AnyTable: Send + Sync {
    fn put(&mut self, id: u32, entry: &Entry) -> Result<(), String>;
    fn delete(&mut self, id: u32);
    fn contains(&self, id: u32) -> bool;
    fn name_of(&self, id: u32) -> &str;
    fn as_any(&self) -> &dyn Any;
}

impl<C: Class> AnyTable for Table<C> {
    fn put(&mut self, id: u32, entry: &Entry) -> Result<(), String> {
        self.insert(record::decode(id, &entry.value)?, entry.modified);
        Ok(())
    }

    fn delete(&mut self, id: u32) {
        self.remove(id);
    }

    fn contains(&self, id: u32) -> bool {
        self.rows.contains_key(&id)
    }

    fn name_of(&self, id: u32) -> &str {
        self.rows.get(&id).map_or("", |row| row.name())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
