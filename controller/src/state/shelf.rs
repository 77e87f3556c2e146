//! Records that are stored beside the objects of classes: how they are written and read, and where
//! they are in memory.
//!
//! A stored record is a JSON object with a version (`v`) and the members of its [`Record::Body`]. A
//! record of another version is refused instead of being read in part.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::{Change, Compare, Op, Revision};

/// The version of every kind of record so far.
const VERSION: u32 = 1;

/// A kind of stored record.
pub trait Record: Sized + Send + Sync + 'static {
    /// What messages call a record of this kind.
    const WHAT: &'static str;
    /// What tells records of this kind from one another.
    type Id: Ord + Clone + Send + Sync;
    /// The members of the stored record.
    type Body: Serialize + DeserializeOwned;
    /// Further ways to find a record in memory; `()` when the id is enough.
    type Index: Index<Self>;

    fn id(&self) -> Self::Id;
    fn key_of(id: &Self::Id) -> String;
    /// The id of the record under this key; `None` for a key that is not of this kind.
    fn id_in(key: &str) -> Option<Self::Id>;
    /// The store's revision of this record; 0 for one that was never stored.
    fn modified(&self) -> Revision;
    fn to_body(&self) -> Self::Body;
    fn from_body(id: Self::Id, body: Self::Body, modified: Revision) -> Self;

    #[must_use]
    fn key(&self) -> String {
        Self::key_of(&self.id())
    }

    /// Stores the record, whatever is there.
    #[must_use]
    fn put_op(&self) -> Op {
        Op::Put {
            key: self.key(),
            value: encode(&self.to_body()),
        }
    }

    #[must_use]
    fn delete_op(id: &Self::Id) -> Op {
        Op::Delete {
            key: Self::key_of(id),
        }
    }

    /// Holds as long as nobody else has changed the record since it was read.
    #[must_use]
    fn unchanged(&self) -> Compare {
        match self.modified() {
            0 => Compare::Absent(self.key()),
            modified => Compare::ModifiedAt(self.key(), modified),
        }
    }
}

/// Finds records otherwise than by their id.
pub trait Index<R>: Default + Send + Sync {
    fn add(&mut self, record: &R);
    fn remove(&mut self, record: &R);
}

impl<R> Index<R> for () {
    fn add(&mut self, _record: &R) {}
    fn remove(&mut self, _record: &R) {}
}

/// [`Record::id`] and what follows from it, of a struct whose field is the number in its key, and
/// that has its revision in `modified`.
macro_rules! numbered_by {
    ($prefix:expr, $field:ident: $id:ty) => {
        type Id = $id;

        fn id(&self) -> $id {
            self.$field
        }

        fn key_of(id: &$id) -> String {
            $crate::state::shelf::numbered($prefix, id.get())
        }

        fn id_in(key: &str) -> Option<$id> {
            $crate::state::shelf::number_in($prefix, key).and_then(<$id>::new)
        }

        fn modified(&self) -> $crate::store::Revision {
            self.modified
        }
    };
}
pub(super) use numbered_by;

/// [`Record::id`] and what follows from it, of a setting: there is one, under its `NAME`, and it has
/// its revision in `modified`.
macro_rules! one_setting {
    () => {
        type Id = ();

        fn id(&self) {}

        fn key_of((): &()) -> String {
            $crate::state::key::setting(Self::NAME)
        }

        fn id_in(key: &str) -> Option<()> {
            (key == $crate::state::key::setting(Self::NAME)).then_some(())
        }

        fn modified(&self) -> $crate::store::Revision {
            self.modified
        }
    };
}
pub(super) use one_setting;

/// [`Record::Body`] of a struct that is stored as it is.
macro_rules! stored_whole {
    () => {
        type Body = Self;

        fn to_body(&self) -> Self {
            self.clone()
        }

        fn from_body(_id: Self::Id, body: Self, modified: $crate::store::Revision) -> Self {
            Self { modified, ..body }
        }
    };
}
pub(super) use stored_whole;

/// The key of a record that is numbered. Ten digits keep the order of keys and of numbers the same.
pub(super) fn numbered(prefix: &str, number: u32) -> String {
    format!("{prefix}{number:010}")
}

/// The number in a key that [`numbered`] made.
pub(super) fn number_in(prefix: &str, key: &str) -> Option<u32> {
    key.strip_prefix(prefix)?.parse().ok()
}

#[derive(Serialize)]
struct Versioned<'b, B> {
    v: u32,
    #[serde(flatten)]
    body: &'b B,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// The stored form of a record.
pub(super) fn encode<B: Serialize>(body: &B) -> Bytes {
    let text = serde_json::to_vec(&Versioned { v: VERSION, body });
    Bytes::from(text.expect("a record holds nothing that JSON cannot express"))
}

/// The members of a stored record.
///
/// # Errors
/// A text for the log when the record was not written by a version that this program knows.
pub(super) fn decode<B: DeserializeOwned>(what: &str, value: &[u8]) -> Result<B, String> {
    let unreadable = |error: serde_json::Error| format!("the {what} cannot be read: {error}");
    // Not with the body: serde reads what is flattened less exactly (numbers as keys of a map, for
    // one).
    let VersionOnly { v } = serde_json::from_slice(value).map_err(unreadable)?;
    if v != VERSION {
        return Err(format!(
            "the {what} has version {v}; this program reads version {VERSION}"
        ));
    }
    serde_json::from_slice(value).map_err(unreadable)
}

/// Every stored record of a kind, by id.
pub struct Shelf<R: Record> {
    records: BTreeMap<R::Id, Arc<R>>,
    index: R::Index,
}

impl<R: Record> Default for Shelf<R> {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            index: R::Index::default(),
        }
    }
}

impl<R: Record> Shelf<R> {
    /// # Errors
    /// When the key or the record cannot be read. Then nothing has changed.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), String> {
        let key = change.key();
        let id = R::id_in(key).ok_or_else(|| format!("{key:?} is not the key of a {}", R::WHAT))?;
        let new = match change {
            Change::Put(entry) => Some(Arc::new(R::from_body(
                id.clone(),
                decode(R::WHAT, &entry.value)?,
                entry.modified,
            ))),
            Change::Delete { .. } => None,
        };
        if let Some(old) = self.records.remove(&id) {
            self.index.remove(&old);
        }
        if let Some(new) = new {
            self.index.add(&new);
            self.records.insert(id, new);
        }
        Ok(())
    }

    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, id: &Q) -> Option<&Arc<R>>
    where
        R::Id: Borrow<Q>,
    {
        self.records.get(id)
    }

    /// By id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.records.values()
    }

    /// From behind this one on, which need not exist any more, by id.
    pub fn after(&self, id: Option<R::Id>) -> impl Iterator<Item = &Arc<R>> {
        let start = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.range((start, Bound::Unbounded))
    }

    /// Those whose ids are in the range, by id.
    pub(super) fn range(
        &self,
        ids: impl RangeBounds<R::Id>,
    ) -> impl DoubleEndedIterator<Item = &Arc<R>> {
        self.records.range(ids).map(|(_, record)| record)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn index(&self) -> &R::Index {
        &self.index
    }
}
