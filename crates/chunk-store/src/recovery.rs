//! Bringing index and packs together at start: whatever lies behind the indexed part of a pack is
//! read and taken in.

use std::fs;
use std::io;
use std::path::Path;

use foghorn_types::{Timestamp, chain};
use tracing::{info, warn};

use crate::index::{Entry, Flush, Index, IndexError};
use crate::pack::{Found, PackDir, PackNumber, Scan, ScanDepth};
use crate::store::OpenStoreError;

/// Records that go into the index in one transaction.
const BATCH: usize = 4096;

/// What to do with bytes behind the last whole record of the last pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Torn {
    /// At start: nobody was told that they are safe.
    Cut,
    /// While the store is open: its writer knows how long the pack is.
    Leave,
}

/// Opens the index and takes in what the packs have beyond it. One that is damaged is put aside and
/// a new one is filled from the packs.
pub(crate) fn open_index(path: &Path, packs: &PackDir) -> Result<Index, OpenStoreError> {
    let opened = Index::open(path)
        .map_err(OpenStoreError::from)
        .and_then(|index| read_tails(packs, &index, Torn::Cut).map(|()| index));
    match opened {
        Err(OpenStoreError::Index(problem)) if problem.is_damage() => {
            put_aside(path, &problem)?;
        }
        done => return done,
    }
    let index = Index::open(path)?;
    read_tails(packs, &index, Torn::Cut)?;
    Ok(index)
}

/// Opens an index again that has failed. The caller holds the writer.
pub(crate) fn heal(index: &Index, packs: &PackDir) -> Result<(), OpenStoreError> {
    let problem = if index.is_damaged() {
        None
    } else {
        match index
            .reopen()
            .map_err(OpenStoreError::from)
            .and_then(|()| read_tails(packs, index, Torn::Leave))
        {
            Err(OpenStoreError::Index(problem)) if problem.is_damage() => Some(problem),
            done => return done,
        }
    };
    match problem {
        Some(problem) => put_aside(index.path(), &problem)?,
        None => put_aside(index.path(), &DamagedInUse)?,
    }
    index.reopen()?;
    read_tails(packs, index, Torn::Leave)
}

#[derive(Debug, thiserror::Error)]
#[error("it was found damaged while it was used")]
struct DamagedInUse;

fn put_aside(path: &Path, problem: &dyn std::error::Error) -> Result<(), OpenStoreError> {
    let aside = path.with_extension("damaged");
    warn!(
        error = %chain(problem),
        aside = %aside.display(),
        "the index of the chunk store is damaged; rebuilding it from the packs"
    );
    match fs::rename(path, &aside) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OpenStoreError::Io {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Takes all records into the index that it does not know yet.
pub(crate) fn read_tails(packs: &PackDir, index: &Index, torn: Torn) -> Result<(), OpenStoreError> {
    let failed = |pack| {
        move |source| OpenStoreError::Io {
            path: packs.path_of(pack),
            source,
        }
    };
    let numbers = packs.list().map_err(failed(0))?;
    for &pack in &numbers {
        let is_last = numbers.last() == Some(&pack);
        let known = index.read(|index| index.known_len(pack))?;
        let len = packs.len_of(pack).map_err(failed(pack))?;
        if len < known {
            warn!(pack, len, known, "a pack is shorter than the index says");
        }
        if len <= known {
            continue;
        }
        // A pack that was complete long ago needs no look at each byte; one that was being written
        // does.
        let depth = if is_last || known > 0 {
            ScanDepth::Contents
        } else {
            ScanDepth::Headers
        };
        let tail = Tail {
            packs,
            index,
            pack,
            known,
            len,
            depth,
        };
        let end = tail.read()?;
        if end < len && is_last && torn == Torn::Cut {
            warn!(
                pack,
                bytes = len - end,
                "cut off the end of a pack that was being written"
            );
            let file = packs.open_for_append(pack).map_err(failed(pack))?;
            file.set_len(end)
                .and_then(|()| file.sync_all())
                .map_err(failed(pack))?;
        }
    }
    Ok(())
}

/// The part of a pack that the index does not know.
struct Tail<'a> {
    packs: &'a PackDir,
    index: &'a Index,
    pack: PackNumber,
    known: u64,
    len: u64,
    depth: ScanDepth,
}

impl Tail<'_> {
    /// Returns where the last whole record ends.
    fn read(&self) -> Result<u64, OpenStoreError> {
        let failed = |source: io::Error| OpenStoreError::Io {
            path: self.packs.path_of(self.pack),
            source,
        };
        let file = self.packs.open_for_read(self.pack).map_err(failed)?;
        // What was acknowledged is flushed; what is taken in here for the first time must be, too.
        file.sync_all().map_err(failed)?;
        let mut scan = Scan::new(&file, self.known, self.len, self.depth);
        let (mut end, mut count) = (self.known, 0);
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH {
                let Some(found) = scan.next().map_err(failed)? else {
                    break;
                };
                batch.push(found);
            }
            let Some(last) = batch.last() else { break };
            end = last.offset + last.header.record_len();
            count += batch.len();
            self.take_in(&batch, end)?;
        }
        info!(
            pack = self.pack,
            chunks = count,
            "added chunks of a pack to the index"
        );
        Ok(end)
    }

    fn take_in(&self, batch: &[Found], end: u64) -> Result<(), IndexError> {
        let touched = Timestamp::now();
        self.index.write(Flush::Now, |index| {
            for Found { offset, header } in batch {
                let entry = Entry {
                    pack: self.pack,
                    offset: *offset,
                    stored_len: header.stored_len,
                    plain_len: header.plain_len,
                    touched,
                    damaged: false,
                };
                index.insert(&header.id, &entry)?;
            }
            index.set_known_len(self.pack, end)
        })
    }
}
