//! The watch cache: the state of the fleet in memory, kept up to date by a watch. Every read of the
//! controller is served here.
//!
//! A [`View`] is built once from a snapshot and then follows the watch. Whole revisions become
//! visible at once, so a reader never sees half a transaction. When the watch cannot go on (history
//! compacted away, engine gone), a fresh view is built beside the old one and swapped in; until
//! then readers see the last good state, and [`WatchCache::is_ready`] says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use foghorn_types::chain;
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::backoff::Backoff;
use super::{Change, Revision, Snapshot, Store, StoreError, WatchBatch, WatchError};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often the engine is asked whether it still answers, and how long it has for it.
const CONFIRM_EVERY: Duration = Duration::from_millis(500);
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// How long a view that follows has to show what the engine has.
const SHOWN_WITHIN: Duration = Duration::from_millis(300);
/// Questions whose answers the view has not reached yet.
const UNREACHED: usize = 16;
/// Pages of a snapshot that wait to be taken in.
const PAGES_AHEAD: usize = 1;
/// A busy machine may leave out a question; what was confirmed more recently counts as current. No
/// answer is older without saying so.
const CURRENT_FOR: Duration = Duration::from_secs(2);

/// What a cache holds: tables and indexes over the entries under one prefix.
pub trait View: Default + Send + Sync + 'static {
    /// Takes in one change. Called for every entry of the first snapshot (as [`Change::Put`]) and
    /// for every change after it, in order. Runs while readers wait: no I/O, no locks.
    ///
    /// # Errors
    /// When the record cannot be read. It is logged, counted and skipped, and must leave the view
    /// as it was.
    fn apply(&mut self, change: &Change) -> Result<(), String>;
}

/// A view that follows the store. Shared by every reader of a controller.
pub struct WatchCache<V> {
    shown: RwLock<Shown<V>>,
    revision: watch::Sender<Revision>,
    /// The last revision that the watch has brought, also of keys that the view does not hold.
    reached: watch::Sender<Revision>,
    following: AtomicBool,
    /// How often the view has stopped following.
    breaks: AtomicU64,
    began: Instant,
    /// Milliseconds from `began` to when the view was last known to be current.
    current: AtomicU64,
}

struct Shown<V> {
    view: V,
    revision: Revision,
}

/// The cache has not seen a revision in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the watch cache is at revision {reached} and did not reach revision {wanted} in time")]
pub struct CacheBehind {
    pub wanted: Revision,
    pub reached: Revision,
}

impl<V: View> WatchCache<V> {
    /// Loads everything under `prefix` and starts the task that follows it until `cancel`.
    ///
    /// # Errors
    /// When the first snapshot cannot be read. Later failures are retried by the task.
    pub async fn start(
        store: Arc<dyn Store>,
        prefix: &str,
        cancel: CancellationToken,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        Self::start_within(store, prefix, prefix, cancel).await
    }

    /// The same where others write beside `prefix`, under `around`: a revision that touches nothing
    /// under `around` is not noticed here, and for so long it cannot be told whether the view is
    /// current ([`WatchCache::stale_for`]). A revision that touches nothing under `prefix` is not
    /// shown, so waiting for one would end in [`CacheBehind`].
    ///
    /// # Errors
    /// As [`WatchCache::start`].
    pub async fn start_within(
        store: Arc<dyn Store>,
        prefix: &str,
        around: &str,
        cancel: CancellationToken,
    ) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        // What is loaded is as old as its first page.
        let began = Instant::now();
        let shown = Shown::load(&store, prefix).await?;
        let cache = Arc::new(Self {
            revision: watch::Sender::new(shown.revision),
            reached: watch::Sender::new(shown.revision),
            shown: RwLock::new(shown),
            following: AtomicBool::new(true),
            breaks: AtomicU64::new(0),
            began,
            current: AtomicU64::new(0),
        });
        let confirming = cache
            .clone()
            .keep_confirming(store.clone(), prefix.to_owned());
        let follower = Follower {
            cache: cache.clone(),
            store,
            prefix: prefix.to_owned(),
            around: around.to_owned(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        };
        let span = info_span!("watch_cache", prefix);
        let task = tokio::spawn(
            async move {
                let both = async { tokio::join!(follower.run(), confirming) };
                cancel.run_until_cancelled_owned(both).await;
            }
            .instrument(span),
        );
        Ok((cache, task))
    }

    /// Runs `read` on the view and its revision. Holds a read lock meanwhile: take out what is
    /// needed and leave.
    pub fn read<R>(&self, read: impl FnOnce(&V, Revision) -> R) -> R {
        let shown = self
            .shown
            .read()
            .expect("a view that panicked half-way through a change must not be read");
        read(&shown.view, shown.revision)
    }

    /// The last revision that readers see.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Waits until readers see `revision` or a later one. Cancel safe.
    ///
    /// # Errors
    /// [`CacheBehind`] at `deadline`.
    pub async fn wait_for(&self, revision: Revision, deadline: Instant) -> Result<(), CacheBehind> {
        let mut seen = self.revision.subscribe();
        match tokio::time::timeout_at(deadline, seen.wait_for(|seen| *seen >= revision)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(CacheBehind {
                wanted: revision,
                reached: self.revision(),
            }),
        }
    }

    /// Told after every change of the view; several changes may be told as one.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Whether the view follows the engine now. `false` while the engine cannot be reached: reads
    /// still work and are stale.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.following.load(Ordering::Acquire)
    }

    /// How old what readers see may be, if that is more than a moment: the time since the engine was
    /// last asked for its newest revision that the view, while it followed, has reached.
    #[must_use]
    pub fn stale_for(&self) -> Option<Duration> {
        let current = Duration::from_millis(self.current.load(Ordering::Acquire));
        let age = self.began.elapsed().saturating_sub(current);
        (age > CURRENT_FOR).then_some(age)
    }

    /// Notes again and again when the view was current, as long as it follows. That the engine answers
    /// is not enough: the watch may be late.
    async fn keep_confirming(self: Arc<Self>, store: Arc<dyn Store>, key: String) {
        let mut tick = tokio::time::interval(CONFIRM_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reached = self.reached.subscribe();
        let mut questions: VecDeque<(Duration, Revision)> = VecDeque::new();
        loop {
            tick.tick().await;
            let (asked, breaks) = (self.began.elapsed(), self.breaks.load(Ordering::Acquire));
            let answer = tokio::time::timeout(CONFIRM_WITHIN, store.newest(&key)).await;
            let Ok(Ok(newest)) = answer else { continue };
            if questions.len() == UNREACHED {
                questions.pop_front();
            }
            questions.push_back((asked, newest));
            let shown = reached.wait_for(|reached| *reached >= newest);
            let _late = tokio::time::timeout(SHOWN_WITHIN, shown).await;
            let followed = self.is_ready()
                && self.breaks.load(Ordering::Acquire) == breaks
                && !store.is_interrupted();
            if !followed {
                questions.clear();
                continue;
            }
            let at = *self.reached.borrow();
            while let Some((asked, newest)) = questions.front()
                && *newest <= at
            {
                let millis = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
                self.current.store(millis, Ordering::Release);
                questions.pop_front();
            }
        }
    }

    fn show(&self, batch: &WatchBatch) {
        {
            let mut shown = self
                .shown
                .write()
                .expect("only the follower writes, and it ends when it panics");
            shown.take_in(&batch.changes);
            shown.revision = batch.revision;
        }
        self.revision.send_replace(batch.revision);
    }

    fn swap(&self, fresh: Shown<V>) {
        let revision = fresh.revision;
        let old = {
            let mut shown = self
                .shown
                .write()
                .expect("only the follower writes, and it ends when it panics");
            std::mem::replace(&mut *shown, fresh)
        };
        self.revision.send_replace(revision);
        drop(old); // Here, not under the lock: freeing a large view takes a while.
    }
}

impl<V> WatchCache<V> {
    fn stop_following(&self) {
        self.following.store(false, Ordering::Release);
        self.breaks.fetch_add(1, Ordering::AcqRel);
    }
}

impl<V: View> Shown<V> {
    /// Page after page, so that the records of a large fleet are not in memory twice, and while the
    /// engine reads the next page this one is taken in.
    async fn load(store: &Arc<dyn Store>, prefix: &str) -> Result<Self, StoreError> {
        let (sender, mut pages) = mpsc::channel(PAGES_AHEAD);
        let mut read = store.pages(prefix);
        let reading = tokio::spawn(async move {
            while let Some(page) = read.next().await {
                if sender.send(page).await.is_err() {
                    return;
                }
            }
        });
        let reading = AbortOnDropHandle::new(reading);
        let mut fresh = Self {
            view: V::default(),
            revision: 0,
        };
        while let Some(page) = pages.recv().await {
            let Snapshot { revision, entries } = page?;
            fresh.revision = revision;
            for entry in entries {
                fresh.take_in(&[Change::Put(entry)]);
            }
        }
        // A part of the state is none.
        reading.await.map_err(|error| StoreError::Unavailable {
            doing: "list keys",
            source: Box::new(error),
        })?;
        Ok(fresh)
    }

    fn take_in(&mut self, changes: &[Change]) {
        for change in changes {
            if let Err(why) = self.view.apply(change) {
                metrics::counter!("foghorn_cache_skipped_records_total").increment(1);
                error!(
                    key = change.key(),
                    error = why,
                    "skipped a record that cannot be read"
                );
            }
        }
    }
}

/// Keeps one cache up to date.
struct Follower<V> {
    cache: Arc<WatchCache<V>>,
    store: Arc<dyn Store>,
    prefix: String,
    around: String,
    backoff: Backoff,
}

/// Whatever ends the follower, a panic of a view included: what is shown grows stale from here on.
impl<V> Drop for Follower<V> {
    fn drop(&mut self) {
        self.cache.stop_following();
    }
}

impl<V: View> Follower<V> {
    async fn run(mut self) {
        loop {
            match self.follow().await {
                Some(WatchError::Compacted { compacted }) => {
                    self.cache.stop_following();
                    info!(
                        compacted,
                        at = self.cache.revision(),
                        "the history was compacted; reloading"
                    );
                }
                Some(WatchError::Store(error)) => {
                    self.cache.stop_following();
                    warn!(error = %chain(&error), "the watch failed; reloading");
                    tokio::time::sleep(self.backoff.pause()).await;
                }
                None => {
                    self.cache.stop_following();
                    warn!("the watch ended; reloading");
                    tokio::time::sleep(self.backoff.pause()).await;
                }
            }
            self.reload().await;
        }
    }

    /// Shows batches until the watch ends; returns why.
    async fn follow(&mut self) -> Option<WatchError> {
        let mut at = self.cache.revision();
        let mut batches = self.store.watch(&self.around, at);
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(mut batch) if batch.revision > at => {
                    self.backoff.succeeded();
                    at = batch.revision;
                    let is_ours = |change: &Change| change.key().starts_with(&self.prefix);
                    batch.changes.retain(is_ours);
                    if !batch.changes.is_empty() {
                        self.cache.show(&batch);
                    }
                    self.cache.reached.send_replace(at);
                }
                Ok(batch) => {
                    // Both engines promise order. If one ever breaks it, a snapshot is right where
                    // replay would not be.
                    error!(
                        at,
                        got = batch.revision,
                        "a watch returned an older revision; reloading"
                    );
                    return None;
                }
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// Swaps in a fresh view; tries until it can.
    ///
    /// Also after a mere loss of the watch, when following on from the last revision would do: an
    /// engine that was put back to an older state has a lower revision, and nothing but a snapshot
    /// would notice.
    async fn reload(&mut self) {
        loop {
            match Shown::load(&self.store, &self.prefix).await {
                Ok(fresh) => {
                    debug!(revision = fresh.revision, "reloaded");
                    self.cache.swap(fresh);
                    self.cache.following.store(true, Ordering::Release);
                    return;
                }
                Err(error) => {
                    self.cache.stop_following();
                    warn!(error = %chain(&error), "could not load a snapshot");
                    tokio::time::sleep(self.backoff.pause()).await;
                }
            }
        }
    }
}
