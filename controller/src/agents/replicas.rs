//! The latest reports on copies of images, in memory only: a node repeats them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foghorn_proto::link::{ReplicaPhase, ReplicaReport};
use foghorn_types::{ByteCount, StorageNodeId};

/// How a copy is doing, as the node says that makes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyReport {
    pub node: StorageNodeId,
    pub phase: Phase,
    pub chunks_verified: u64,
    /// 0: not known yet.
    pub chunks_total: u64,
    /// Of those verified: that were not there before.
    pub chunks_fetched: u64,
    /// Compressed, over the network.
    pub bytes_fetched: ByteCount,
    /// Of these, in a second, lately.
    pub rate: ByteCount,
    /// Name of the node that it copies from; empty while it waits.
    pub source: String,
    pub problem: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// For a source that answers.
    Waiting,
    Copying,
    Ended,
}

/// By the number of the copy.
#[derive(Default)]
pub struct ReplicaReports(Mutex<BTreeMap<u32, CopyReport>>);

impl ReplicaReports {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, CopyReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn get(&self, copy: u32) -> Option<CopyReport> {
        self.lock().get(&copy).cloned()
    }

    /// Stores a report. Returns how many bytes were fetched since the one before.
    pub(crate) fn set(&self, node: StorageNodeId, report: &ReplicaReport) -> u64 {
        let phase = match report.phase() {
            ReplicaPhase::Unspecified | ReplicaPhase::Copying => Phase::Copying,
            ReplicaPhase::Waiting => Phase::Waiting,
            ReplicaPhase::Done | ReplicaPhase::Failed => Phase::Ended,
        };
        let new = CopyReport {
            node,
            phase,
            chunks_verified: report.chunks_verified,
            chunks_total: report.chunks_total,
            chunks_fetched: report.chunks_fetched,
            bytes_fetched: ByteCount::from_bytes(report.bytes_fetched),
            rate: ByteCount::from_bytes(report.rate_bytes_per_second),
            source: report.source.clone(),
            problem: report.problem.clone(),
        };
        let before = self.lock().insert(report.copy_id, new);
        let before = before.map_or(0, |before| before.bytes_fetched.bytes());
        // An agent that was restarted counts from the beginning.
        let grown = report.bytes_fetched.checked_sub(before);
        grown.unwrap_or(report.bytes_fetched)
    }

    /// Forgets all others.
    pub(crate) fn keep_only(&self, copies: &BTreeSet<u32>) {
        self.lock().retain(|copy, _| copies.contains(copy));
    }
}
