//! A limit on the bytes that all sessions together hold. No session can take all of it.

use std::sync::Arc;

use foghorn_types::ByteCount;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for one chunk that a session has to itself: with the pool in the hands of clients that have
/// stopped reading, the others are slower but not stopped. Compressed chunks are at most 1 MiB and
/// 8 KiB.
const OWN: ByteCount = ByteCount::from_bytes(1100 * 1024);
/// Most that one session holds: some 60 ms at 1 Gbit/s, which hides a disk's latency.
const SESSION_SHARE: ByteCount = ByteCount::from_mib(8);

/// The pool of all sessions. One permit is one KiB, so that any size a configuration can name fits
/// a semaphore.
#[derive(Clone)]
pub(super) struct Budget {
    pool: Arc<Semaphore>,
}

/// One session's access to the pool.
#[derive(Clone)]
pub(super) struct SessionBudget {
    pool: Arc<Semaphore>,
    own: Arc<Semaphore>,
    share: Arc<Semaphore>,
}

/// Room that is taken until this is dropped.
pub(super) struct Hold {
    _share: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(size: ByteCount) -> Self {
        Self {
            pool: Arc::new(Semaphore::new(kib(size) as usize)),
        }
    }

    pub(super) fn for_session(&self) -> SessionBudget {
        let semaphore = |size| Arc::new(Semaphore::new(kib(size) as usize));
        SessionBudget {
            pool: self.pool.clone(),
            own: semaphore(OWN),
            share: semaphore(SESSION_SHARE),
        }
    }
}

impl SessionBudget {
    /// Waits for room for `bytes`, at most one chunk. First come, first served.
    pub(super) async fn hold(&self, bytes: usize) -> Hold {
        let wanted = kib(ByteCount::from_bytes(bytes as u64)).min(kib(OWN));
        let never_closed = "budgets are never closed";
        let share = self
            .share
            .clone()
            .acquire_many_owned(wanted)
            .await
            .expect(never_closed);
        let room = tokio::select! {
            biased;
            room = self.pool.clone().acquire_many_owned(wanted) => room,
            room = self.own.clone().acquire_many_owned(wanted) => room,
        };
        Hold {
            _share: share,
            _room: room.expect(never_closed),
        }
    }
}

fn kib(size: ByteCount) -> u32 {
    u32::try_from(size.bytes().div_ceil(1024))
        .unwrap_or(u32::MAX >> 3)
        .min(u32::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const CHUNK: usize = 1 << 20;

    #[test]
    fn a_session_is_not_stopped_by_others_that_hold_everything() {
        let budget = Budget::new(ByteCount::from_mib(8));
        let (greedy, modest) = (budget.for_session(), budget.for_session());
        let held: Vec<Hold> = std::iter::from_fn(|| greedy.hold(CHUNK).now_or_never()).collect();
        assert_eq!(held.len(), 8, "its share ends where the pool does");
        let first = modest.hold(CHUNK).now_or_never();
        assert!(first.is_some(), "everybody has room for one chunk");
        assert!(modest.hold(CHUNK).now_or_never().is_none());
        drop(first);
        assert!(modest.hold(CHUNK).now_or_never().is_some());
        drop(held);
        assert!(greedy.hold(CHUNK).now_or_never().is_some());
    }
}
