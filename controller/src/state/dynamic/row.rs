//! One row of a plugin's class.

use std::collections::BTreeMap;

use super::spec::{ClassSpec, WhenGone};
use crate::state::value::fold;
use crate::store::Revision;

/// One row: texts by field, what they refer to, what is unique.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DynamicRow {
    pub(super) id: u32,
    pub(super) modified: Revision,
    pub(super) fields: BTreeMap<String, String>,
    /// Fields that are references: class of what they name, and what becomes of the row when that
    /// is deleted.
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
                    .map(|field| {
                        self.get(field)
                            .map(fold)
                            .filter(|value| !value.is_empty() && value != "0")
                    })
                    .collect();
                values.map(|values| (fields.join("+"), values.join("/")))
            })
            .collect()
    }

    /// About how much a change of the row takes in a transaction.
    pub(super) fn stored_bytes(&self) -> usize {
        self.fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 8)
            .sum::<usize>()
            + 512
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = (&str, u32)> {
        self.references
            .iter()
            .map(|(field, (class, _))| (class.as_str(), self.reference(field)))
            .filter(|(_, id)| *id != 0)
    }
}
