//! Rows of plugins' classes in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::record;
use super::row::DynamicRow;
use super::spec::ClassSpec;
use crate::state::value::fold;
use crate::store::Change;

/// Ids by folded value, in order.
type Index = BTreeMap<String, BTreeSet<u32>>;

/// Rows of one class.
#[derive(Default)]
pub struct DynamicTable {
    rows: BTreeMap<u32, Arc<DynamicRow>>,
    /// By field, made when somebody first asks: the class's declaration is not known here.
    indexes: RwLock<HashMap<String, Index>>,
}

impl DynamicTable {
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&Arc<DynamicRow>> {
        self.rows.get(&id)
    }

    /// Rows by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<DynamicRow>> {
        self.rows.values()
    }

    /// Rows in the order of lists: by name without case, by id where the class has no name.
    #[must_use]
    pub fn ordered(&self, class: &ClassSpec) -> Vec<&Arc<DynamicRow>> {
        if !class.is_named() {
            return self.rows.values().collect();
        }
        self.indexed("name", |index| {
            index
                .values()
                .flatten()
                .filter_map(|id| self.rows.get(id))
                .collect()
        })
    }

    /// Rows whose field is this text, without regard to case, by id.
    #[must_use]
    pub fn by(&self, field: &str, value: &str) -> Vec<&Arc<DynamicRow>> {
        let value = fold(value);
        self.indexed(field, |index| {
            index
                .get(&value)
                .into_iter()
                .flatten()
                .filter_map(|id| self.rows.get(id))
                .collect()
        })
    }

    fn indexed<R>(&self, field: &str, look: impl FnOnce(&Index) -> R) -> R {
        {
            let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(index) = indexes.get(field) {
                return look(index);
            }
        }
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        let index = indexes.entry(field.to_owned()).or_insert_with(|| {
            let mut index = Index::new();
            for row in self.rows.values() {
                index
                    .entry(fold(row.get(field).unwrap_or_default()))
                    .or_default()
                    .insert(row.id);
            }
            index
        });
        look(index)
    }

    fn remove(&mut self, id: u32) -> Option<Arc<DynamicRow>> {
        let row = self.rows.remove(&id)?;
        for (field, index) in self
            .indexes
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
        {
            let value = fold(row.get(field).unwrap_or_default());
            if let Some(ids) = index.get_mut(&value) {
                ids.remove(&id);
                if ids.is_empty() {
                    index.remove(&value);
                }
            }
        }
        Some(row)
    }

    fn insert(&mut self, row: Arc<DynamicRow>) {
        for (field, index) in self
            .indexes
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
        {
            index
                .entry(fold(row.get(field).unwrap_or_default()))
                .or_default()
                .insert(row.id);
        }
        self.rows.insert(row.id, row);
    }
}

/// An object: its class and its id.
type Place = (Arc<str>, u32);

/// Rows of every class that is none of the program's own, whether a plugin declares it now or not.
#[derive(Default)]
pub struct DynamicRows {
    tables: BTreeMap<Arc<str>, DynamicTable>,
    /// Which rows refer to an object.
    pointing: HashMap<Place, BTreeSet<Place>>,
    /// By class of what is referred to: classes of which a row has ever done so since the start.
    referring: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl DynamicRows {
    #[must_use]
    pub fn table(&self, class: &str) -> Option<&DynamicTable> {
        self.tables.get(class)
    }

    #[must_use]
    pub fn get(&self, class: &str, id: u32) -> Option<&Arc<DynamicRow>> {
        self.tables.get(class)?.get(id)
    }

    /// Rows that refer to an object, with their classes.
    pub(super) fn pointing_at(&self, class: &str, id: u32) -> Vec<(Arc<str>, Arc<DynamicRow>)> {
        let Some(rows) = self.pointing.get(&(Arc::from(class), id)) else {
            return Vec::new();
        };
        rows.iter()
            .filter_map(|(class, id)| Some((class.clone(), self.get(class, *id)?.clone())))
            .collect()
    }

    /// Classes whose rows refer to objects of `class`.
    pub(super) fn referring_to(&self, class: &str) -> impl Iterator<Item = &Arc<str>> {
        self.referring.get(class).into_iter().flatten()
    }

    /// # Errors
    /// When the record cannot be read.
    pub(crate) fn apply(&mut self, class: &str, id: u32, change: &Change) -> Result<(), String> {
        let class: Arc<str> = self
            .tables
            .get_key_value(class)
            .map_or_else(|| Arc::from(class), |(key, _)| key.clone());
        let new = match change {
            Change::Put(entry) => {
                let mut row = record::decode(&class, id, &entry.value)?;
                row.modified = entry.modified;
                Some(Arc::new(row))
            }
            Change::Delete { .. } => None,
        };
        let old = self.tables.entry(class.clone()).or_default().remove(id);
        for target in old.iter().flat_map(|row| row.targets()) {
            let place = (Arc::from(target.0), target.1);
            if let Some(rows) = self.pointing.get_mut(&place) {
                rows.remove(&(class.clone(), id));
                if rows.is_empty() {
                    self.pointing.remove(&place);
                }
            }
        }
        let Some(new) = new else { return Ok(()) };
        for target in new.targets() {
            let other: Arc<str> = Arc::from(target.0);
            self.referring
                .entry(other.clone())
                .or_default()
                .insert(class.clone());
            self.pointing
                .entry((other, target.1))
                .or_default()
                .insert((class.clone(), id));
        }
        self.tables.entry(class).or_default().insert(new);
        Ok(())
    }
}
