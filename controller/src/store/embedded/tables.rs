//! The tables in the file, and reading from them.

use bytes::Bytes;
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata as _, TableDefinition,
};

use crate::store::{Change, Entry, Revision, Snapshot, WatchBatch};

/// Version of what this module writes.
pub(super) const FORMAT: u64 = 1;

/// created, modified, 0 (earlier versions had leases), value
pub(super) type Stored<'a> = (u64, u64, i64, &'a [u8]);
/// key, created, 0 (as above), value (none: deleted)
pub(super) type Happened<'a> = (&'a str, u64, i64, Option<&'a [u8]>);

/// Present entries by key.
pub(super) const KEYS: TableDefinition<'_, &str, Stored<'static>> = TableDefinition::new("keys");
/// Every change since the last compaction, by revision and place in it.
pub(super) const HISTORY: TableDefinition<'_, (u64, u32), Happened<'static>> =
    TableDefinition::new("history");
/// The numbers named below.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

pub(super) const FORMAT_NUMBER: &str = "format";
pub(super) const REVISION: &str = "revision";
pub(super) const COMPACTED: &str = "compacted";

/// A watcher reads at most about this much at once.
const PAGE_REVISIONS: usize = 1000;
const PAGE_BYTES: usize = 4 << 20;

/// What a writer starts from.
pub(super) struct Start {
    pub(super) format: u64,
    pub(super) revision: Revision,
}

/// Makes what is missing in a new file, and reads what the writer has to know.
pub(super) fn prepare(db: &Database) -> Result<Start, redb::Error> {
    let txn = db.begin_write()?;
    let start = {
        let mut numbers = txn.open_table(NUMBERS)?;
        let found = number(&numbers, FORMAT_NUMBER)?;
        let format = if found == 0 { FORMAT } else { found };
        numbers.insert(FORMAT_NUMBER, format)?;
        txn.open_table(KEYS)?;
        txn.open_table(HISTORY)?;
        Start {
            format,
            revision: number(&numbers, REVISION)?,
        }
    };
    txn.commit()?;
    Ok(start)
}

/// What can be known of a store without using it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checked {
    pub revision: Revision,
    pub entries: u64,
}

/// The format, and how much there is, without writing anything.
pub(super) fn glance(db: &Database) -> Result<(u64, Checked), redb::Error> {
    let reading = db.begin_read()?;
    let numbers = reading.open_table(NUMBERS)?;
    let found = Checked {
        revision: number(&numbers, REVISION)?,
        entries: reading.open_table(KEYS)?.len()?,
    };
    Ok((number(&numbers, FORMAT_NUMBER)?, found))
}

/// The last revision.
pub(super) fn revision(db: &Database) -> Result<Revision, redb::Error> {
    number(&db.begin_read()?.open_table(NUMBERS)?, REVISION)
}

pub(super) fn number(
    table: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<u64, redb::Error> {
    Ok(table.get(name)?.map_or(0, |number| number.value()))
}

pub(super) fn get(db: &Database, key: &str) -> Result<Option<Entry>, redb::Error> {
    let keys = db.begin_read()?.open_table(KEYS)?;
    Ok(keys.get(key)?.map(|stored| entry(key, stored.value())))
}

pub(super) fn list(db: &Database, prefix: &str) -> Result<Snapshot, redb::Error> {
    let txn = db.begin_read()?;
    let revision = number(&txn.open_table(NUMBERS)?, REVISION)?;
    let mut entries = Vec::new();
    for row in txn.open_table(KEYS)?.range(prefix..)? {
        let (key, stored) = row?;
        if !key.value().starts_with(prefix) {
            break;
        }
        entries.push(entry(key.value(), stored.value()));
    }
    Ok(Snapshot { revision, entries })
}

pub(super) fn range(
    db: &Database,
    from: &str,
    to: &str,
    limit: usize,
    backwards: bool,
) -> Result<Vec<Entry>, redb::Error> {
    if from >= to {
        return Ok(Vec::new());
    }
    let keys = db.begin_read()?.open_table(KEYS)?;
    let mut rows = keys.range(from..to)?;
    let mut entries = Vec::new();
    while entries.len() < limit {
        let Some(row) = (if backwards {
            rows.next_back()
        } else {
            rows.next()
        }) else {
            break;
        };
        let (key, stored) = row?;
        entries.push(entry(key.value(), stored.value()));
    }
    Ok(entries)
}

/// Part of the history.
pub(super) enum Page {
    /// Everything under the prefix up to and including `up_to`.
    Read {
        batches: Vec<WatchBatch>,
        up_to: Revision,
    },
    Compacted {
        compacted: Revision,
    },
}

/// Reads changes under `prefix` after `after`, in whole revisions, a bounded number of them.
pub(super) fn history(db: &Database, prefix: &str, after: Revision) -> Result<Page, redb::Error> {
    let txn = db.begin_read()?;
    let numbers = txn.open_table(NUMBERS)?;
    let compacted = number(&numbers, COMPACTED)?;
    if after < compacted {
        return Ok(Page::Compacted { compacted });
    }
    let mut page = Reading {
        batches: Vec::new(),
        bytes: 0,
        revisions: 0,
        at: after,
    };
    for row in txn.open_table(HISTORY)?.range((after + 1, 0)..)? {
        let (place, happened) = row?;
        let (revision, _) = place.value();
        if !page.enter(revision) {
            return Ok(Page::Read {
                batches: page.batches,
                up_to: page.at,
            });
        }
        let happened = happened.value();
        if happened.0.starts_with(prefix) {
            page.add(revision, happened);
        }
    }
    // A watch from a revision that is yet to come stays where it is.
    let up_to = number(&numbers, REVISION)?.max(after);
    Ok(Page::Read {
        batches: page.batches,
        up_to,
    })
}

struct Reading {
    batches: Vec<WatchBatch>,
    bytes: usize,
    revisions: usize,
    /// The last revision that was entered.
    at: Revision,
}

impl Reading {
    /// Whether the page still has room for changes of `revision`; what has been begun always does.
    fn enter(&mut self, revision: Revision) -> bool {
        if revision == self.at {
            return true;
        }
        if self.revisions >= PAGE_REVISIONS || self.bytes >= PAGE_BYTES {
            return false;
        }
        self.revisions += 1;
        self.at = revision;
        true
    }

    fn add(&mut self, revision: Revision, (key, created, _, value): Happened<'_>) {
        self.bytes += key.len() + value.map_or(0, <[u8]>::len);
        let change = match value {
            Some(value) => Change::Put(entry(key, (created, revision, 0, value))),
            None => Change::Delete {
                key: key.to_owned(),
                revision,
            },
        };
        match self.batches.last_mut() {
            Some(batch) if batch.revision == revision => batch.changes.push(change),
            _ => self.batches.push(WatchBatch {
                revision,
                changes: vec![change],
            }),
        }
    }
}

pub(super) fn entry(key: &str, (created, modified, _, value): Stored<'_>) -> Entry {
    Entry {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value),
        created,
        modified,
    }
}
