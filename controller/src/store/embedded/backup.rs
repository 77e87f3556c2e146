//! A copy of the present entries in a file of their own, taken while the store works.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadableDatabase};

use super::tables::{COMPACTED, FORMAT, FORMAT_NUMBER, KEYS, NUMBERS, REVISION, number};
use crate::store::Revision;

/// Entries that are written at once, so that a large store needs no more memory than a small one.
const ENTRIES_AT_ONCE: usize = 1000;

/// Writes every entry, at one revision, to the new file `to`, which is durable afterwards. The
/// history stays behind: to a watch it is compacted. `None` when it was told to `stop` meanwhile.
pub(super) fn copy(
    db: &Database,
    to: &Path,
    stop: &AtomicBool,
) -> Result<Option<Revision>, redb::Error> {
    let reading = db.begin_read()?;
    let revision = number(&reading.open_table(NUMBERS)?, REVISION)?;
    let copy = Database::create(to)?;
    let mut rows = reading.open_table(KEYS)?.range::<&str>(..)?.peekable();
    while rows.peek().is_some() {
        if stop.load(Ordering::Acquire) {
            return Ok(None);
        }
        let writing = copy.begin_write()?;
        {
            let mut keys = writing.open_table(KEYS)?;
            for row in rows.by_ref().take(ENTRIES_AT_ONCE) {
                let (key, stored) = row?;
                keys.insert(key.value(), stored.value())?;
            }
        }
        writing.commit()?;
    }
    // Last: a copy that was broken off has no format, and is not taken for a store.
    let writing = copy.begin_write()?;
    {
        let mut numbers = writing.open_table(NUMBERS)?;
        numbers.insert(REVISION, revision)?;
        numbers.insert(COMPACTED, revision)?;
        numbers.insert(FORMAT_NUMBER, FORMAT)?;
    }
    writing.commit()?;
    Ok(Some(revision))
}
