//! Compacts the store's history: old revisions are needed only by watchers that fell behind, and
//! those can reload.
//!
//! An etcd has one history for all its keys: programs that share it with a controller also lose
//! their old revisions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::store::{Revision, Store, StoreError};

/// Revisions compacted by one call, so that the writer of the embedded engine is not blocked for
/// long.
const AT_ONCE: Revision = 5_000;
/// Calls per round. The rest is left to the next round.
const CALLS: usize = 64;

/// What is always kept: both limits apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keep {
    pub(super) revisions: Revision,
    pub(super) time: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            revisions: 10_000,
            time: Duration::from_secs(10 * 60),
        }
    }
}

/// Knows the age of revisions that this process has seen.
pub(super) struct History {
    keep: Keep,
    /// The last revision at several times, oldest first.
    seen: VecDeque<(Instant, Revision)>,
    compacted: Revision,
}

impl History {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            seen: VecDeque::new(),
            compacted: 0,
        }
    }

    /// The revision up to which the history may be compacted, when `last` is the last revision at
    /// `now`. Never less than before.
    fn forgettable(&mut self, now: Instant, last: Revision) -> Revision {
        // The store was restored to an older state: what was seen of the newer state is invalid.
        if self.seen.back().is_some_and(|(_, seen)| *seen > last) {
            self.seen.clear();
            self.compacted = 0;
        }
        self.seen.push_back((now, last));
        let old_enough = |seen: &(Instant, Revision)| now.duration_since(seen.0) >= self.keep.time;
        while self.seen.get(1).is_some_and(old_enough) {
            self.seen.pop_front();
        }
        let by_age = self
            .seen
            .front()
            .filter(|seen| old_enough(seen))
            .map_or(0, |(_, revision)| *revision);
        by_age
            .min(last.saturating_sub(self.keep.revisions))
            .max(self.compacted)
    }

    /// Compacts what may be compacted, in bounded steps.
    pub(super) async fn tidy(
        &mut self,
        store: &dyn Store,
        now: Instant,
        last: Revision,
    ) -> Result<(), StoreError> {
        let end = self.forgettable(now, last);
        let from = self.compacted;
        for _ in 0..CALLS {
            if self.compacted >= end {
                break;
            }
            // A step that has been compacted before (by another controller, or before a restart)
            // costs nothing.
            let piece = end.min(self.compacted + AT_ONCE);
            store.compact(piece).await?;
            self.compacted = piece;
        }
        if self.compacted > from {
            debug!(
                up_to = self.compacted,
                last, "compacted old history of the store"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{Op, Txn, WatchError};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn both_margins_hold() {
        let mut history = History::new(Keep {
            revisions: 100,
            time: 10 * MINUTE,
        });
        let start = Instant::now();
        assert_eq!(
            history.forgettable(start, 500),
            0,
            "nothing is known to be old yet"
        );
        assert_eq!(history.forgettable(start + 9 * MINUTE, 2_000), 0);
        assert_eq!(
            history.forgettable(start + 10 * MINUTE, 2_000),
            500,
            "what was last ten minutes ago"
        );
        assert_eq!(
            history.forgettable(start + 19 * MINUTE, 2_000),
            1_900,
            "the last hundred stay, however old"
        );
        assert!(
            history.seen.len() <= 3,
            "what is remembered is bounded by time"
        );
    }

    #[test]
    fn a_store_that_was_put_back_starts_afresh() {
        let mut history = History::new(Keep {
            revisions: 0,
            time: MINUTE,
        });
        let start = Instant::now();
        assert_eq!(history.forgettable(start, 900), 0);
        assert_eq!(
            history.forgettable(start + MINUTE, 50),
            0,
            "revision 900 is of another time"
        );
        assert_eq!(history.forgettable(start + 2 * MINUTE, 60), 50);
    }

    #[tokio::test]
    async fn old_history_goes_and_the_margin_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("state.redb"))
            .await
            .unwrap();
        for number in 0..30 {
            let op = Op::Put {
                key: "/k".into(),
                value: number.to_string().into(),
            };
            store
                .commit(Txn {
                    compares: Vec::new(),
                    ops: vec![op],
                })
                .await
                .unwrap();
        }
        let mut history = History::new(Keep {
            revisions: 10,
            time: Duration::ZERO,
        });
        history.tidy(&store, Instant::now(), 30).await.unwrap();
        let first = store.watch("/", 19).next().await.unwrap();
        assert!(
            matches!(first, Err(WatchError::Compacted { compacted: 20 })),
            "{first:?}"
        );
        assert_eq!(
            store.watch("/", 20).next().await.unwrap().unwrap().revision,
            21
        );
        assert_eq!(store.get("/k").await.unwrap().unwrap().value, "29");
        history.tidy(&store, Instant::now(), 30).await.unwrap();
    }

    /// A controller that has just started does not know how much was compacted before.
    #[tokio::test]
    async fn a_new_process_catches_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("state.redb"))
            .await
            .unwrap();
        for number in 0..5 {
            let op = Op::Put {
                key: "/k".into(),
                value: number.to_string().into(),
            };
            store
                .commit(Txn {
                    compares: Vec::new(),
                    ops: vec![op],
                })
                .await
                .unwrap();
        }
        store.compact(4).await.unwrap();
        let mut history = History::new(Keep {
            revisions: 2,
            time: Duration::ZERO,
        });
        history.tidy(&store, Instant::now(), 5).await.unwrap();
        assert_eq!(history.compacted, 3);
        assert_eq!(
            store.watch("/", 4).next().await.unwrap().unwrap().revision,
            5
        );
    }
}
