//! Group commit: whoever gets hold of the writer writes for all who wait for it, with one flush.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use foghorn_types::{ByteCount, ChunkId, chain};

use crate::index::{Entry, Flush};
use crate::put::{NewChunk, PutError, PutReport};
use crate::record::{RecordHeader, record_len};
use crate::recovery;
use crate::space::Space;
use crate::store::Store;
use crate::writer::Writer;

/// Index entries are flushed after this many bytes of packs: it bounds what a start after a crash
/// has to read.
const FLUSH_AFTER: u64 = 64 << 20;

/// Batches that wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    waiting: Mutex<Vec<Arc<Ticket>>>,
}

/// One waiting batch. Its chunks are verified.
#[derive(Debug)]
struct Ticket {
    chunks: Vec<NewChunk>,
    done: OnceLock<Result<PutReport, PutError>>,
}

/// What a group of batches needs written.
struct Plan<'a> {
    new: Vec<&'a NewChunk>,
    present: Vec<ChunkId>,
    reports: Vec<PutReport>,
}

impl Store {
    pub(crate) fn commit_verified(&self, chunks: Vec<NewChunk>) -> Result<PutReport, PutError> {
        let ticket = Arc::new(Ticket {
            chunks,
            done: OnceLock::new(),
        });
        self.commits
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ticket.clone());
        let mut writer = self.lock_writer();
        // Whoever held the writer before may have written for us.
        if let Some(done) = ticket.done.get() {
            return done.clone();
        }
        let group = std::mem::take(
            &mut *self
                .commits
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        match self.commit_group(&mut writer, &group) {
            Ok(reports) => {
                for (ticket, report) in group.iter().zip(reports) {
                    let _ = ticket.done.set(Ok(report));
                }
            }
            Err(error) => {
                for ticket in &group {
                    let _ = ticket.done.set(Err(error.clone()));
                }
            }
        }
        ticket
            .done
            .get()
            .expect("the ticket was in the group, because nobody had taken it")
            .clone()
    }

    /// The writer. A panic of an earlier holder left at most bytes behind the pack's end, which the
    /// next append overwrites.
    pub(crate) fn lock_writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.index.is_broken() {
            self.heal_index();
        }
        writer
    }

    fn commit_group(
        &self,
        writer: &mut Writer,
        group: &[Arc<Ticket>],
    ) -> Result<Vec<PutReport>, PutError> {
        let plan = self.plan(group)?;
        let records: Vec<(RecordHeader, &[u8])> = plan
            .new
            .iter()
            .map(|chunk| {
                (
                    RecordHeader::new(chunk.id, chunk.plain_len, &chunk.compressed),
                    &chunk.compressed[..],
                )
            })
            .collect();
        self.append(writer, &records, &plan.present, self.options.keep_free)?;
        Ok(plan.reports)
    }

    fn plan<'a>(&self, group: &'a [Arc<Ticket>]) -> Result<Plan<'a>, PutError> {
        let mut plan = Plan {
            new: Vec::new(),
            present: Vec::new(),
            reports: Vec::with_capacity(group.len()),
        };
        let mut seen = HashSet::new();
        self.index.read(|index| {
            for ticket in group {
                let mut report = PutReport::default();
                for chunk in &ticket.chunks {
                    let is_present = self.is_whole(&chunk.id, index.get(&chunk.id)?);
                    if is_present {
                        plan.present.push(chunk.id);
                    }
                    if is_present || !seen.insert(chunk.id) {
                        report.duplicates += 1;
                    } else {
                        report.new_chunks += 1;
                        report.new_bytes += ByteCount::from_bytes(chunk.compressed.len() as u64);
                        plan.new.push(chunk);
                    }
                }
                plan.reports.push(report);
            }
            Ok(())
        })?;
        Ok(plan)
    }

    /// Appends verified records and enters them into the index; `touch` are chunks that stay where
    /// they are but were asked for again. All of it or nothing, and nothing when less than
    /// `keep_free` would stay free.
    pub(crate) fn append(
        &self,
        writer: &mut Writer,
        records: &[(RecordHeader, &[u8])],
        touch: &[ChunkId],
        keep_free: ByteCount,
    ) -> Result<(), PutError> {
        self.check_space(
            records
                .iter()
                .map(|(header, _)| record_len(header.stored_len))
                .sum(),
            keep_free,
        )?;
        let mut flush = if writer.unflushed() >= FLUSH_AFTER {
            Flush::Now
        } else {
            Flush::Later
        };
        if writer.roll(self.options.pack_size.bytes()) {
            self.index.write(Flush::Now, |_| Ok(()))?;
            flush = Flush::Now;
        }
        let pack = writer.pack();
        let failed = |source| PutError::Io {
            path: self.packs.path_of(pack),
            source: Arc::new(source),
        };
        let touched = self.now();
        let mut group = writer.begin(&self.packs).map_err(failed)?;
        let mut entries = Vec::with_capacity(records.len());
        foghorn_faults::fail!("store.pack.before-write").map_err(failed)?;
        for (header, stored) in records {
            let offset = group.append(header, stored).map_err(failed)?;
            let (stored_len, plain_len) = (header.stored_len, header.plain_len);
            let entry = Entry {
                pack: group.pack(),
                offset,
                stored_len,
                plain_len,
                touched,
                damaged: false,
            };
            entries.push((header.id, entry));
        }
        if !records.is_empty() {
            foghorn_faults::fail!("store.pack.written").map_err(failed)?;
            group.sync().map_err(failed)?;
        }
        foghorn_faults::fail!("store.pack.flushed").map_err(failed)?;
        let indexed = self.index.write(flush, |index| {
            for (id, entry) in &entries {
                index.insert(id, entry)?;
            }
            for id in touch {
                if let Some(entry) = index.get(id)? {
                    index.insert(id, &Entry { touched, ..entry })?;
                }
            }
            index.set_known_len(group.pack(), group.end())
        });
        if let Err(problem) = indexed {
            drop(group);
            self.heal_index();
            return Err(problem.into());
        }
        group.keep();
        foghorn_faults::point!("store.index.committed");
        for (id, _) in &entries {
            self.ledger.chunk_is_whole(id);
        }
        if flush == Flush::Now {
            writer.flushed();
        }
        Ok(())
    }

    pub(crate) fn check_space(&self, wanted: u64, keep_free: ByteCount) -> Result<(), PutError> {
        let failed = |source: io::Error| PutError::Io {
            path: self.path().to_owned(),
            source: Arc::new(source),
        };
        let free = Space::of(self.path()).map_err(failed)?.free;
        if free.bytes() < wanted.saturating_add(keep_free.bytes()) {
            return Err(PutError::Full {
                path: self.path().to_owned(),
                free,
                keep_free,
            });
        }
        Ok(())
    }

    /// redb does nothing more after a failed write until it is opened again. What it had not
    /// flushed is in the packs. The caller holds the writer and has cut off what failed.
    pub(crate) fn heal_index(&self) {
        if let Err(error) = recovery::heal(&self.index, &self.packs) {
            tracing::error!(
                error = %chain(&error),
                "the index could not be opened again; every use fails until it can"
            );
        }
    }
}
