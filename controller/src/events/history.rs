//! The last changes, so that a listener that was disconnected can continue where it was. Pure.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::state::key::{self, Place};
use crate::store::{self, Revision, WatchBatch};

/// Maximum number of stored changes.
const MOST: usize = 4096;

/// What happened to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Create,
    Edit,
    Delete,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Delete => "delete",
        }
    }
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) class: String,
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// The object as rendered for the first listener, reused for the others.
    pub(crate) shown: OnceLock<Bytes>,
}

/// All changes of one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) revision: Revision,
    pub(crate) changes: Vec<Change>,
    /// Whether it changes users or the settings of the API: then the permission of every listener
    /// is checked again.
    pub(crate) touches_access: bool,
}

impl Batch {
    /// The objects in the events of a watch. Records that are not objects are ignored.
    pub(crate) fn of(batch: &WatchBatch) -> Self {
        let mut touches_access = false;
        let mut changes = Vec::new();
        for change in &batch.changes {
            match key::parse(change.key()) {
                Ok(Place::Setting { .. } | Place::Object { class: "user", .. }) => {
                    touches_access = true
                }
                Ok(Place::Object { class, id }) => {
                    let kind = match change {
                        store::Change::Put(entry) if entry.created == entry.modified => {
                            Kind::Create
                        }
                        store::Change::Put(_) => Kind::Edit,
                        store::Change::Delete { .. } => Kind::Delete,
                    };
                    changes.push(Change {
                        class: class.to_owned(),
                        id,
                        kind,
                        shown: OnceLock::new(),
                    });
                }
                _ => {}
            }
        }
        Self {
            revision: batch.revision,
            changes,
            touches_access,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Everything after this revision is in `batches`.
    from: Revision,
    /// The last revision that was added.
    at: Revision,
    batches: VecDeque<Arc<Batch>>,
    changes: usize,
}

/// Earlier changes are no longer available.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap;

impl History {
    /// Starts again: nothing up to `revision` is known.
    pub(crate) fn restart(&mut self, revision: Revision) {
        *self = Self {
            from: revision,
            at: revision,
            ..Self::default()
        };
    }

    pub(crate) fn at(&self) -> Revision {
        self.at
    }

    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        self.at = batch.revision;
        if batch.changes.is_empty() {
            return;
        }
        self.changes += batch.changes.len();
        self.batches.push_back(batch);
        while self.changes > MOST
            && let Some(old) = self.batches.pop_front()
        {
            self.changes -= old.changes.len();
            self.from = old.revision;
        }
    }

    /// Everything after `since`.
    ///
    /// # Errors
    /// [`Gap`] when some of it has been removed, or `since` is in the future: then it belongs to
    /// another store's history.
    pub(crate) fn after(&self, since: Revision) -> Result<Vec<Arc<Batch>>, Gap> {
        if since < self.from || since > self.at {
            return Err(Gap);
        }
        Ok(self
            .batches
            .iter()
            .filter(|batch| batch.revision > since)
            .cloned()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn batch(revision: Revision, objects: usize) -> Arc<Batch> {
        let change = |id| Change {
            class: "host".to_owned(),
            id,
            kind: Kind::Edit,
            shown: OnceLock::new(),
        };
        let changes = (0..u32::try_from(objects).unwrap()).map(change).collect();
        Arc::new(Batch {
            revision,
            changes,
            touches_access: false,
        })
    }

    #[test]
    fn what_is_remembered_is_bounded_and_gaps_are_told() {
        let mut history = History::default();
        history.restart(10);
        assert_eq!(history.after(9).unwrap_err(), Gap);
        assert!(history.after(10).unwrap().is_empty());
        for revision in 11..=60 {
            history.push(batch(revision, 100));
        }
        history.push(batch(61, 0));
        assert_eq!(history.at(), 61);
        assert_eq!(
            history.after(62).unwrap_err(),
            Gap,
            "a revision of the future"
        );
        assert_eq!(history.after(19).unwrap_err(), Gap, "forgotten");
        let rest = history.after(20).unwrap();
        assert_eq!(
            (rest.len(), rest[0].revision, rest[39].revision),
            (40, 21, 60)
        );
        assert_eq!(history.after(59).unwrap().len(), 1);
    }

    #[test]
    fn objects_are_told_and_users_are_not() {
        let put = |key: &str, created, modified| {
            let value = bytes::Bytes::new();
            store::Change::Put(Entry {
                key: key.to_owned(),
                value,
                created,
                modified,
            })
        };
        let batch = Batch::of(&WatchBatch {
            revision: 9,
            changes: vec![
                put("/foghorn/v1/obj/group/0000000001", 3, 9),
                put("/foghorn/v1/obj/host/0000000007", 9, 9),
                store::Change::Delete {
                    key: "/foghorn/v1/obj/image/0000000002".to_owned(),
                    revision: 9,
                },
                put("/foghorn/v1/obj/user/0000000001", 1, 9),
                put("/foghorn/v1/uniq/host/name/A", 9, 9),
            ],
        });
        let told: Vec<_> = batch
            .changes
            .iter()
            .map(|change| (change.class.as_str(), change.id, change.kind))
            .collect();
        assert_eq!(
            told,
            [
                ("group", 1, Kind::Edit),
                ("host", 7, Kind::Create),
                ("image", 2, Kind::Delete)
            ]
        );
        assert!(batch.touches_access);
    }
}
