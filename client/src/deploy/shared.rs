//! What the threads and lanes of one deploy share: the board, the first failure, and a way to
//! notice changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foghorn_types::{BitRate, ChunkIndex, ChunkNumber};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::DeployError;
use super::board::Board;
use super::plan::Plan;
use super::sharing::SourceId;
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
    began: Instant,
    board: Mutex<Board>,
    /// Addresses of the node that has the task.
    addresses: usize,
    distrusted: AtomicBool,
    /// Further sources that were connected so far.
    further: AtomicU32,
    /// Whether further sources can be asked for.
    can_find: bool,
    /// A chunk is wanted that no source that is connected has intact.
    another_wanted: Notify,
    /// Compressed bytes that came from others than the node that has the task now, and from that.
    elsewhere: AtomicU64,
    here: AtomicU64,
    connections: AtomicU32,
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
        (addresses, can_find): (usize, bool),
    ) -> Self {
        Self {
            plan,
            disk,
            progress,
            stop,
            boot_chunks: Mutex::default(),
            began: Instant::now(),
            board: Mutex::new(board),
            addresses,
            distrusted: AtomicBool::new(false),
            further: AtomicU32::new(0),
            can_find,
            another_wanted: Notify::new(),
            elsewhere: AtomicU64::new(0),
            here: AtomicU64::new(0),
            connections: AtomicU32::new(0),
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

    /// Time since the deploy began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until every chunk is right.
    pub(super) async fn complete(&self) {
        let mut changes = self.watch();
        while !self.board().complete() {
            // The sender lives as long as this.
            let _ = changes.changed().await;
        }
    }

    /// What came for this chunk is not it. It is asked for once more, from every other source there
    /// is too; then the deploy fails and names it. Nothing of it is ever written.
    pub(super) fn refuse(&self, number: ChunkNumber, source: Option<SourceId>, problem: &str) {
        let Some(id) = self.plan.id(number) else {
            return;
        };
        let (times, anybody) = self.update(|board| {
            let times = board.bad(number, source);
            (times, board.sharing().anybody_may_have(number))
        });
        tracing::warn!(chunk = %id, error = problem, times, "a chunk did not arrive intact");
        let sources = self.addresses + self.further.load(Ordering::Relaxed) as usize;
        if times as usize > sources {
            self.fail(DeployError::Chunk {
                id,
                problem: problem.to_owned(),
            });
        } else if source.is_some() && anybody {
            // Whoever may have it finds it on the board.
        } else if self.can_find {
            self.another_wanted.notify_one();
        } else {
            self.nobody_else();
        }
    }

    /// Waits until a chunk is wanted that no source that is connected has intact. Cancel-safe.
    pub(super) async fn another_wanted(&self) {
        self.another_wanted.notified().await;
    }

    /// There is no other source: those that there are may be asked for everything again.
    pub(super) fn nobody_else(&self) {
        if self.addresses > 1 {
            self.distrusted.store(true, Ordering::Relaxed);
        }
        self.update(|board| board.sharing().forgive());
    }

    /// A connection to a source of this name is there; until what is returned is dropped.
    pub(super) fn joins<'a>(&'a self, name: &'a str, role: Role) -> Way<'a> {
        if role == Role::Further {
            self.further.fetch_add(1, Ordering::Relaxed);
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        let id = self.update(|board| board.sharing().joins(name));
        Way {
            shared: self,
            id,
            name,
            role,
        }
    }

    /// Another node has the task now.
    pub(super) fn moved(&self) {
        let before = self.here.swap(0, Ordering::Relaxed);
        self.elsewhere.fetch_add(before, Ordering::Relaxed);
    }

    /// Compressed bytes that came from others than the node that has the task.
    pub(super) fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    /// Connections over which chunks come, at least one.
    pub(super) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed).max(1)
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

/// What a source is to a deploy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// The node that has the task.
    First,
    Further,
}

/// A connection to a source, as long as it lasts.
pub(super) struct Way<'a> {
    shared: &'a Shared,
    pub(super) id: SourceId,
    pub(super) name: &'a str,
    pub(super) role: Role,
}

impl Way<'_> {
    /// Compressed bytes of a chunk came.
    pub(super) fn came(&self, bytes: u64) {
        self.shared.progress.add_wire(bytes);
        self.shared.progress.add_from(self.name, bytes);
        let counter = match self.role {
            Role::First => &self.shared.here,
            Role::Further => &self.shared.elsewhere,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.update(|board| board.sharing().leaves(self.id));
    }
}
