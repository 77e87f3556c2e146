//! What the threads and lanes of one deploy share: the board, the first failure, and a way to
//! notice changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_types::{BitRate, ChunkIndex, ChunkNumber};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::DeployError;
use super::board::Board;
use super::plan::Plan;
use crate::disk::DiskSet;
use crate::progress::{Progress, Work};

/// See the module page.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) disk: Arc<DiskSet>,
    pub(super) progress: Arc<Progress>,
    /// Cancelled when the deploy ends early, for whatever reason; every loop looks at it between
    /// two chunks.
    pub(super) stop: CancellationToken,
    /// Contents of the chunks that are written last, once they are known; see
    /// [`Plan::is_boot_entry`].
    pub(super) boot_chunks: Mutex<BTreeMap<ChunkIndex, Vec<u8>>>,
    board: Mutex<Board>,
    sources: usize,
    distrusted: AtomicBool,
    arrived_chunks: AtomicU64,
    arrived_bytes: AtomicU64,
    failure: Mutex<Option<DeployError>>,
    changes: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(
        plan: Plan,
        board: Board,
        disk: Arc<DiskSet>,
        progress: Arc<Progress>,
        stop: CancellationToken,
        sources: usize,
    ) -> Self {
        Self {
            plan,
            disk,
            progress,
            stop,
            boot_chunks: Mutex::default(),
            board: Mutex::new(board),
            sources,
            distrusted: AtomicBool::new(false),
            arrived_chunks: AtomicU64::new(0),
            arrived_bytes: AtomicU64::new(0),
            failure: Mutex::new(None),
            changes: watch::Sender::new(()),
        }
    }

    /// Never to be held while waiting for anything.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        // Every method of the board leaves it consistent, so a panic elsewhere does no harm to it.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the board and tells whoever watches it.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Board) -> T) -> T {
        let result = change(&mut self.board());
        self.changes.send_replace(());
        result
    }

    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Ends the deploy. The first failure is the one that is reported; the others are its
    /// consequences.
    pub(super) fn fail(&self, error: DeployError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        drop(failure);
        self.stop.cancel();
        self.changes.send_replace(());
    }

    pub(super) fn take_failure(&self) -> Option<DeployError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What came for this chunk is not it. It is asked for once more, from every other source there
    /// is too; then the deploy fails and names it. Nothing of it is ever written.
    pub(super) fn refuse(&self, number: ChunkNumber, problem: &str) {
        let Some(id) = self.plan.id(number) else {
            return;
        };
        let times = self.update(|board| board.bad(number));
        tracing::warn!(chunk = %id, error = problem, times, "a chunk did not arrive intact");
        if times as usize > self.sources {
            self.fail(DeployError::Chunk {
                id,
                problem: problem.to_owned(),
            });
        } else if self.sources > 1 {
            self.distrusted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether another source should be asked from now on.
    pub(super) fn distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Relaxed)
    }

    pub(super) fn trust_the_next(&self) {
        self.distrusted.store(false, Ordering::Relaxed);
    }

    /// Keeps the board's idea of the network's speed up to date: bytes over the time that lanes
    /// waited for them.
    pub(super) fn count_arrival(&self, plain_bytes: u64, lanes: u32, rate_after: u64) {
        let chunks = self.arrived_chunks.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.arrived_bytes.fetch_add(plain_bytes, Ordering::Relaxed) + plain_bytes;
        let rate = BitRate::average(bytes, self.progress.busy(Work::Network) / lanes);
        if let Some(rate) = rate.filter(|_| chunks >= rate_after) {
            self.board().measured_fetch_rate(rate);
        }
    }
}
