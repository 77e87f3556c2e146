//! The state of the fleet: typed objects in memory, changed by transactions.
//!
//! Reads go to [`Tables`], which the watch cache keeps; they never reach the engine. A change is a
//! [`Draft`] made from what the tables show and committed with compares; the caller gets its answer
//! when this controller's tables show the change, so whoever reads after writing reads what was
//! written.

pub mod actor;
pub mod audit;
pub mod authority;
pub mod belonging;
pub mod class;
pub mod classes;
pub mod clock;
pub mod content;
pub mod controller_record;
pub(crate) mod cron;
pub mod draft;
pub mod dynamic;
#[cfg(test)]
mod effects;
pub mod enrolment;
pub mod field;
pub mod first_run;
pub mod given;
mod ids;
pub mod imports;
pub mod join_token;
pub mod json;
pub mod kept_authority;
pub mod key;
pub mod keyed;
pub mod machines;
pub mod multicast;
pub mod needle;
pub mod node_hold;
pub mod notes;
pub mod notify;
mod record;
pub mod refusal;
pub mod rehearsal;
pub mod removal;
pub mod render;
pub mod replica;
pub mod row;
pub mod rules;
pub mod run;
pub mod scene;
pub mod schedule;
pub mod schema;
pub mod search;
mod search_text;
pub mod seed;
pub mod settings;
pub mod shelf;
pub mod site;
pub mod snapin_file;
#[cfg(test)]
mod stored_bytes;
pub mod table;
pub mod tables;
pub mod value;
pub mod wake;
pub mod zone;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use draft::Draft;
pub use refusal::{Refusal, TaskRefusal};
pub use row::Row;
pub use tables::Tables;

use self::dynamic::Declared;
use self::ids::{IdLoan, IdPools};
use crate::store::cache::WatchCache;
use crate::store::probe::WriteProbe;
use crate::store::{Compare, MAX_OPS, Revision, Store, StoreError, Txn, TxnOutcome};

/// Time in which the cache has to show a change that was committed. It usually takes under a
/// millisecond.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// Times that a change is made before its writer queues up with the others of this controller.
const ALONE: u32 = 4;
/// How long the first of that queue makes its change again after it was overtaken. Counting would be
/// unfair: a controller that sees its own changes first may win hundreds of rounds in a row.
const FIRST_WITHIN: Duration = Duration::from_secs(20);
/// How long a writer stands in that queue.
const QUEUED_WITHIN: Duration = Duration::from_secs(20);
/// Steps of a large change beyond what it needed at its beginning, for what others add meanwhile.
const STEPS_TO_SPARE: usize = 16;

/// See the module.
pub struct State {
    store: Arc<dyn Store>,
    probe: WriteProbe,
    cache: Arc<WatchCache<Tables>>,
    declared: ArcSwap<Declared>,
    /// The last import before this controller started.
    last_import: Revision,
    ids: Arc<IdPools>,
    /// Held by the one of this controller's writers that has met others too often.
    queue: tokio::sync::Mutex<()>,
    /// Held by the one that reserves ids. Nobody who stands in the queue waits for it.
    reserving: tokio::sync::Mutex<()>,
}

/// Why a transaction did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("could not store the transaction")]
    Store(#[from] StoreError),
    #[error(
        "the transaction was stored at revision {0}, but the cache of this controller did not reach it in time"
    )]
    Lagging(Revision),
    #[error("this is a dry run, nothing was stored")]
    Rehearsed,
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            CommitError::Lagging(_) => Self::Lagging,
            CommitError::Rehearsed => Self::Rehearsed,
        }
    }
}

impl State {
    /// Ids that something outside the store has, and that no new object of the class gets.
    pub(crate) fn avoid_ids<C: class::Class>(&self, ids: impl IntoIterator<Item = u32>) {
        self.ids.avoid(C::NAME, ids);
    }

    /// Loads the state and follows it until `cancel`. Adds the default rows to a store that has
    /// none.
    ///
    /// # Errors
    /// When the store cannot be read, or the default rows cannot be written.
    pub async fn start(
        store: Arc<dyn Store>,
        cancel: CancellationToken,
    ) -> Result<(Arc<Self>, JoinHandle<()>), Refusal> {
        let (cache, task) =
            WatchCache::start_within(store.clone(), key::ROOT, key::ALL, cancel).await?;
        let imports = cache.read(|tables: &Tables, _| tables.imports());
        if imports.under_way {
            return Err(StoreError::Unwritable {
                doing: "be used",
                why: imports::REFUSED.to_owned(),
            }
            .into());
        }
        let state = Arc::new(Self {
            last_import: imports.last,
            probe: WriteProbe::new(store.clone()),
            store,
            cache,
            ids: Arc::default(),
            queue: tokio::sync::Mutex::default(),
            reserving: tokio::sync::Mutex::default(),
            declared: ArcSwap::default(),
        });
        for step in seed::steps() {
            state.write_in_steps(&step).await?;
        }
        Ok((state, task))
    }

    /// Runs `read` on the tables. A lock is held meanwhile: take out what is needed (rows are
    /// behind [`Arc`]) and leave.
    pub fn read<R>(&self, read: impl FnOnce(&Tables) -> R) -> R {
        self.cache.read(|tables, _| read(tables))
    }

    /// Like [`State::read`], with the revision that the tables show.
    pub fn read_at<R>(&self, read: impl FnOnce(&Tables, Revision) -> R) -> R {
        self.cache.read(read)
    }

    /// Commits and waits until the tables show it.
    ///
    /// # Errors
    /// When the engine fails, or the cache does not follow; [`CommitError::Rehearsed`] in a dry run.
    pub async fn commit(&self, mut txn: Txn) -> Result<TxnOutcome, CommitError> {
        if rehearsal::is_on() {
            return Err(CommitError::Rehearsed);
        }
        if self.is_replaced() {
            return Err(CommitError::Store(StoreError::Unwritable {
                doing: "commit a transaction",
                why: imports::REFUSED.to_owned(),
            }));
        }
        // An import that has begun since must not find our change in what it writes. Drafts leave
        // room for this.
        if !txn.ops.is_empty() && txn.compares.len() < MAX_OPS {
            txn.compares
                .push(Compare::Absent(imports::MARKER.to_owned()));
        }
        let outcome = self.store.commit(txn).await?;
        if let TxnOutcome::Committed(revision) = outcome {
            let deadline = Instant::now() + SHOWN_WITHIN;
            self.cache
                .wait_for(revision, deadline)
                .await
                .map_err(|_| CommitError::Lagging(revision))?;
        }
        Ok(outcome)
    }

    /// Makes a change: `change` fills a draft from what the tables show. When others were faster it
    /// is called again on newer tables, so it must do nothing but read and draft.
    ///
    /// # Errors
    /// What `change` refuses, what the store cannot do, [`Refusal::Contended`] when others were
    /// faster every time.
    pub async fn write<R, E: From<Refusal>>(
        &self,
        change: impl FnMut(&mut Draft<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.write_step(0, change).await.map(|(result, _)| result)
    }

    /// Makes a change of any size. `change` drafts what is still to be done and asks
    /// [`Draft::has_room`] for every related row; it is called again, on tables that show the last
    /// step, until nothing is postponed. Returns the first result.
    ///
    /// Not one transaction, because etcd takes 128 operations in one and a group has hundreds of
    /// hosts. Each step leaves a valid state, and the same change made again does what is left, so
    /// a controller may be stopped between any two steps.
    ///
    /// # Errors
    /// As [`State::write`]; steps before the error stay. [`Refusal::Contended`] when somebody keeps
    /// undoing the steps.
    pub async fn write_in_steps<R, E: From<Refusal>>(
        &self,
        mut change: impl FnMut(&mut Draft<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (result, first) = self.write_step(0, &mut change).await?;
        let mut left = first;
        // A step takes at least one row, so this many are enough unless others add to the work.
        for step in 1..=first + STEPS_TO_SPARE {
            if left == 0 {
                return Ok(result);
            }
            left = self.write_step(step, &mut change).await?.1;
        }
        if left == 0 {
            Ok(result)
        } else {
            Err(Refusal::Contended.into())
        }
    }

    /// One step and what it postponed.
    async fn write_step<R, E: From<Refusal>>(
        &self,
        step: usize,
        mut change: impl FnMut(&mut Draft<'_>) -> Result<R, E>,
    ) -> Result<(R, usize), E> {
        let mut changed = self.changed();
        let actor = actor::current();
        let (mut turn, mut reserving) = (None, None);
        let (mut attempts, mut first_since) = (0, None::<Instant>);
        while first_since.is_none_or(|since| since.elapsed() < FIRST_WITHIN) {
            // Of hundreds that want the same at once one wins each round. From here on those of this
            // controller come one after the other.
            if attempts >= ALONE && turn.is_none() {
                reserving = None;
                let queued = tokio::time::timeout(QUEUED_WITHIN, self.queue.lock()).await;
                turn = Some(queued.map_err(|_| Refusal::Contended)?);
                first_since = Some(Instant::now());
            }
            attempts += 1;
            changed.mark_unchanged();
            let (result, postponed, txn, ids) =
                self.read(|tables| self.draft(tables, step, actor.as_deref(), &mut change))?;
            if txn.ops.is_empty() {
                return Ok((result, postponed)); // An id that was taken for nothing is used up, as on a FOG server.
            }
            if !ids.reserves() {
                reserving = None;
            } else if reserving.is_none() && turn.is_none() {
                // Of those that reserve ids at once, one would be stored. The others wait for it and
                // take theirs from what it has reserved.
                ids.give_back();
                let locked = tokio::time::timeout(QUEUED_WITHIN, self.reserving.lock()).await;
                reserving = Some(locked.map_err(|_| Refusal::Contended)?);
                continue;
            }
            match self.commit(txn).await {
                Ok(TxnOutcome::Committed(_)) => {
                    if ids.reserves() {
                        foghorn_faults::wait!("controller.ids.reserved");
                    }
                    ids.stored();
                    return Ok((result, postponed));
                }
                Ok(TxnOutcome::Conflict) => {
                    ids.give_back();
                    // The one who was faster is not in our tables yet, or came while we were
                    // drafting.
                    let _either_is_fine =
                        tokio::time::timeout(Duration::from_millis(50), changed.changed()).await;
                }
                Err(error @ CommitError::Rehearsed) => {
                    ids.give_back();
                    return Err(Refusal::from(error).into());
                }
                // It may have been stored: its ids must not come again.
                Err(error) => return Err(Refusal::from(error).into()),
            }
        }
        Err(Refusal::Contended.into())
    }

    /// Classes that the plugins that are loaded declare.
    #[must_use]
    pub fn declared(&self) -> Arc<Declared> {
        self.declared.load_full()
    }

    /// Replaces what plugins declare. Rows are not touched: those of a class that is gone wait for
    /// it.
    pub fn declare(&self, declared: Declared) {
        self.declared.store(Arc::new(declared));
    }

    /// Lets `change` fill a draft. When it refuses, the ids that it took go back.
    fn draft<R, E>(
        &self,
        tables: &Tables,
        step: usize,
        actor: Option<&actor::Actor>,
        change: &mut impl FnMut(&mut Draft<'_>) -> Result<R, E>,
    ) -> Result<(R, usize, Txn, IdLoan), E> {
        let mut draft = Draft::new(tables, self.ids.loan(), step);
        draft.notes.want(actor.is_some());
        let result = change(&mut draft);
        let postponed = draft.postponed();
        let (txn, ids) = draft.into_parts(actor);
        match result {
            Ok(result) => Ok((result, postponed, txn, ids)),
            Err(refusal) => {
                ids.give_back();
                Err(refusal)
            }
        }
    }

    /// Whether an import replaces, or has replaced, what this controller was started with: it must be
    /// started again, since it has ids, orders and connections of another state.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        let imports = self.read(Tables::imports);
        imports.under_way || imports.last != self.last_import
    }

    /// Waits until an import has ended.
    pub async fn replaced(&self) {
        let mut changed = self.changed();
        loop {
            let imports = self.read(Tables::imports);
            if !imports.under_way && imports.last != self.last_import {
                return;
            }
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Told after every change of the tables.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Revision> {
        self.cache.changed()
    }

    /// Whether the tables follow the store now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.cache.is_ready()
    }

    /// How old the tables may be, if that is more than a moment: the store does not answer.
    #[must_use]
    pub fn stale_for(&self) -> Option<Duration> {
        self.cache.stale_for()
    }

    /// Tells whether a write would work.
    #[must_use]
    pub fn probe(&self) -> &WriteProbe {
        &self.probe
    }

    /// The engine, for what is not part of the tables (the audit log, answers kept under
    /// idempotency keys).
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}
