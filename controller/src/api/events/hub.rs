//! Follows the store once for all listeners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_types::{StorageNodeId, TaskId};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::history::{Batch, Gap, History};
use crate::agents::casts::CastReport;
use crate::agents::live::TransferProgress;
use crate::api::Ctx;
use crate::state::key;
use crate::store::{Revision, WatchBatch};

/// Transactions that a listener may be behind before it is cut off.
const BEHIND: usize = 1024;
/// Listeners at a time.
pub(super) const MOST_LISTENERS: usize = 2000;
/// How often progress is looked at; agents report about as often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Time in which the tables have to show what the watch has delivered.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// Pause before a watch that broke off is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// What listeners are sent.
#[derive(Clone, Debug)]
pub(super) enum News {
    Changes(Arc<Batch>),
    Progress(Arc<(TaskId, TransferProgress)>),
    /// A multicast session on one node.
    Cast(Arc<((u32, StorageNodeId), CastReport)>),
    /// Something was missed, up to this revision.
    Reset(Revision),
}

/// Shared by the task that follows the store and every listener.
pub struct Hub {
    history: Mutex<History>,
    news: broadcast::Sender<News>,
    pub(super) places: Arc<Semaphore>,
    /// Ends every listener when the controller stops.
    pub(super) closed: CancellationToken,
}

/// Where a listener begins.
pub(super) struct Beginning {
    pub(super) at: Revision,
    /// What it has missed and can be told; a gap when that is not all.
    pub(super) missed: Result<Vec<Arc<Batch>>, Gap>,
    pub(super) news: broadcast::Receiver<News>,
}

impl Hub {
    /// Tells what comes after `revision`.
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        let mut history = History::default();
        history.restart(revision);
        Self {
            history: Mutex::new(history),
            news: broadcast::Sender::new(BEHIND),
            places: Arc::new(Semaphore::new(MOST_LISTENERS)),
            closed: CancellationToken::new(),
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who listen. Nothing is lost and nothing doubled between what was missed and what comes.
    pub(super) fn join(&self, since: Option<Revision>) -> Beginning {
        let history = self.history();
        let at = history.at();
        let missed = since.map_or_else(|| Ok(Vec::new()), |since| history.after(since));
        Beginning { at, missed, news: self.news.subscribe() }
    }

    fn restart(&self, revision: Revision) {
        let mut history = self.history();
        history.restart(revision);
        // Nobody listening is no error.
        let _listeners = self.news.send(News::Reset(revision));
    }

    fn tell(&self, batch: &WatchBatch) {
        let batch = Arc::new(Batch::of(batch));
        let mut history = self.history();
        history.push(batch.clone());
        if !batch.changes.is_empty() || batch.touches_access {
            let _listeners = self.news.send(News::Changes(batch));
        }
    }
}

/// Follows the store until `cancel`; then every listener's stream ends.
pub async fn run(ctx: Arc<Ctx>, cancel: CancellationToken) {
    let _close = ctx.events.closed.clone().drop_guard();
    while cancel.run_until_cancelled(follow(&ctx)).await.is_some() {
        if cancel.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
        ctx.events.restart(ctx.state.read_at(|_, revision| revision));
    }
}

/// Ends when the watch does.
async fn follow(ctx: &Ctx) {
    let start = ctx.events.history().at();
    let mut batches = ctx.state.store().watch(key::ROOT, start);
    let mut shown = ctx.state.changed();
    let (mut told, mut told_casts) = (HashMap::new(), HashMap::new());
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let batch = tokio::select! {
            batch = batches.next() => batch,
            _ = tick.tick() => {
                progress(ctx, &mut told);
                casts(ctx, &mut told_casts);
                continue;
            }
        };
        match batch {
            Some(Ok(batch)) => {
                // Who is told of a change finds it when asking for the object.
                let shows = shown.wait_for(|at| *at >= batch.revision);
                if !matches!(tokio::time::timeout(SHOWN_WITHIN, shows).await, Ok(Ok(_))) {
                    return;
                }
                ctx.events.tell(&batch);
            }
            Some(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "the watch for events broke off");
                return;
            }
            None => {
                debug!("the watch for events ended");
                return;
            }
        }
    }
}

/// Tells what has moved since the last look.
fn progress(ctx: &Ctx, told: &mut HashMap<TaskId, TransferProgress>) {
    if ctx.events.news.receiver_count() == 0 {
        told.clear();
        return;
    }
    let now = ctx.live.transfers();
    for (task, progress) in &now {
        if told.get(task) != Some(progress) {
            let _listeners = ctx.events.news.send(News::Progress(Arc::new((*task, progress.clone()))));
        }
    }
    *told = now;
}

/// Tells which multicast sessions have reported since the last look.
fn casts(ctx: &Ctx, told: &mut HashMap<(u32, StorageNodeId), CastReport>) {
    if ctx.events.news.receiver_count() == 0 {
        told.clear();
        return;
    }
    let now = ctx.live.casts().all();
    for (key, report) in &now {
        if told.get(key) != Some(report) {
            let _listeners = ctx.events.news.send(News::Cast(Arc::new((*key, report.clone()))));
        }
    }
    *told = now;
}
