//! Rows of plugins' classes in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::record;
use super::spec::{ClassSpec, WhenGone};
use crate::state::value::fold;
use crate::store::{Change, Revision};

/// One row: texts by field, what they refer to, what is unique.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DynamicRow {
    pub(super) id: u32,
    pub(super) modified: Revision,
    pub(super) fields: BTreeMap<String, String>,
    /// Fields that are references: class of what they name, and what becomes of the row when that is deleted.
    pub(super) references: BTreeMap<String, (String, WhenGone)>,
    pub(super) uniques: Vec<Vec<String>>,
}

impl DynamicRow {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Revision of the last change, for compares.
    #[must_use]
    pub fn modified(&self) -> Revision {
        self.modified
    }

    /// A stored value; `None` for a field that the row was stored without.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// The value as it is on the wire.
    #[must_use]
    pub fn show(&self, class: &ClassSpec, field: &str) -> String {
        if field == "id" {
            return self.id.to_string();
        }
        let nothing = || class.field(field).map_or("", |field| field.kind.nothing());
        self.get(field).unwrap_or_else(nothing).to_owned()
    }

    /// The id that a reference holds, 0 for none.
    #[must_use]
    pub fn reference(&self, field: &str) -> u32 {
        self.get(field).and_then(|id| id.parse().ok()).unwrap_or(0)
    }

    /// Names and values of what only this row may have. What is empty in part is not unique.
    pub(super) fn guards(&self) -> Vec<(String, String)> {
        self.uniques
            .iter()
            .filter_map(|fields| {
                let values: Option<Vec<String>> = fields
                    .iter()
                    .map(|field| self.get(field).map(fold).filter(|value| !value.is_empty() && value != "0"))
                    .collect();
                values.map(|values| (fields.join("+"), values.join("/")))
            })
            .collect()
    }

    /// About how much a change of the row takes in a transaction.
    pub(super) fn stored_bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>() + 512
    }

    fn targets(&self) -> impl Iterator<Item = (&str, u32)> {
        self.references
            .iter()
            .map(|(field, (class, _))| (class.as_str(), self.reference(field)))
            .filter(|(_, id)| *id != 0)
    }
}

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
        self.indexed("name", |index| index.values().flatten().filter_map(|id| self.rows.get(id)).collect())
    }

    /// Rows whose field is this text, without regard to case, by id.
    #[must_use]
    pub fn by(&self, field: &str, value: &str) -> Vec<&Arc<DynamicRow>> {
        let value = fold(value);
        self.indexed(field, |index| {
            index.get(&value).into_iter().flatten().filter_map(|id| self.rows.get(id)).collect()
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
                index.entry(fold(row.get(field).unwrap_or_default())).or_default().insert(row.id);
            }
            index
        });
        look(index)
    }

    fn remove(&mut self, id: u32) -> Option<Arc<DynamicRow>> {
        let row = self.rows.remove(&id)?;
        for (field, index) in self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner) {
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
        for (field, index) in self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner) {
            index.entry(fold(row.get(field).unwrap_or_default())).or_default().insert(row.id);
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
        let Some(rows) = self.pointing.get(&(Arc::from(class), id)) else { return Vec::new() };
        rows.iter().filter_map(|(class, id)| Some((class.clone(), self.get(class, *id)?.clone()))).collect()
    }

    /// Classes whose rows refer to objects of `class`.
    pub(super) fn referring_to(&self, class: &str) -> impl Iterator<Item = &Arc<str>> {
        self.referring.get(class).into_iter().flatten()
    }

    /// # Errors
    /// When the record cannot be read.
    pub(crate) fn apply(&mut self, class: &str, id: u32, change: &Change) -> Result<(), String> {
        let class: Arc<str> = self.tables.get_key_value(class).map_or_else(|| Arc::from(class), |(key, _)| key.clone());
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
            self.referring.entry(other.clone()).or_default().insert(class.clone());
            self.pointing.entry((other, target.1)).or_default().insert((class.clone(), id));
        }
        self.tables.entry(class).or_default().insert(new);
        Ok(())
    }
}
