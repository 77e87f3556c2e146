//! Follows the store once for all listeners.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_types::{SessionId, StorageNodeId, TaskId, chain};
use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::history::{Batch, Gap, History};
use crate::agents::live::{Live, TransferProgress};
use crate::agents::session_reports::SessionReport;
use crate::background::{Background, Report, Rhythm, Why, Work};
use crate::shares::{Full, Share, Shares, source};
use crate::state::{State, key};
use crate::store::{Revision, WatchBatch, WatchError};

/// Transactions that a listener may be behind before it is disconnected.
const BEHIND: usize = 1024;
/// Maximum number of concurrent listeners …
const MOST_LISTENERS: u64 = 2000;
/// … of one user …
const MOST_OF_USER: u64 = 64;
/// … and at one address.
const MOST_AT_ADDRESS: u64 = 256;
/// How often progress is checked; agents report about as often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Time limit for the tables to contain what the watch has delivered.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// Watches that break off are begun again this often at most.
const PAUSE: Duration = Duration::from_secs(1);

/// A message to the listeners.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Changes(Arc<Batch>),
    Progress(Arc<(TaskId, TransferProgress)>),
    /// A multicast session on one node.
    Session(Arc<((SessionId, StorageNodeId), SessionReport)>),
    /// Something was missed, up to this revision.
    Reset(Revision),
}

/// Shared by the task that follows the store and every listener.
pub struct Hub {
    history: Mutex<History>,
    news: broadcast::Sender<News>,
    users: Arc<Shares<u32>>,
    addresses: Arc<Shares<IpAddr>>,
    /// Ends every listener when the controller stops.
    pub(crate) closed: CancellationToken,
}

/// Why there is no place for a listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("the maximum of {MOST_OF_USER} concurrent listeners of one user is reached")]
    User,
    #[error("the maximum of {MOST_AT_ADDRESS} concurrent listeners at one address is reached")]
    Address,
    #[error("the maximum of {MOST_LISTENERS} concurrent listeners is reached")]
    All,
}

/// The place of a listener, which is free again when this is dropped.
pub(crate) struct Place {
    _user: Share<u32>,
    _address: Share<IpAddr>,
}

/// The starting point of a listener.
pub(crate) struct Beginning {
    pub(crate) at: Revision,
    /// The missed changes that are available; a gap when some are missing.
    pub(crate) missed: Result<Vec<Arc<Batch>>, Gap>,
    pub(crate) news: broadcast::Receiver<News>,
}

impl Hub {
    /// Receives what follows `revision`.
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        let mut history = History::default();
        history.restart(revision);
        Self {
            history: Mutex::new(history),
            news: broadcast::Sender::new(BEHIND),
            users: Shares::new(MOST_LISTENERS, MOST_OF_USER),
            addresses: Shares::new(MOST_LISTENERS, MOST_AT_ADDRESS),
            closed: CancellationToken::new(),
        }
    }

    /// A place for a listener of this user at this address.
    pub(crate) fn place(&self, user: u32, from: IpAddr) -> Result<Place, NoPlace> {
        let why = |full, one| match full {
            Full::One => one,
            Full::All => NoPlace::All,
        };
        let of_user = self.users.take(user, 1);
        let address = self.addresses.take(source(from), 1);
        Ok(Place {
            _user: of_user.map_err(|full| why(full, NoPlace::User))?,
            _address: address.map_err(|full| why(full, NoPlace::Address))?,
        })
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a listener. No change is lost or duplicated between the missed ones and those that
    /// follow.
    pub(crate) fn join(&self, since: Option<Revision>) -> Beginning {
        let history = self.history();
        let at = history.at();
        let missed = since.map_or_else(|| Ok(Vec::new()), |since| history.after(since));
        Beginning {
            at,
            missed,
            news: self.news.subscribe(),
        }
    }

    fn restart(&self, revision: Revision) {
        let mut history = self.history();
        history.restart(revision);
        // It is not an error that there are no listeners.
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
pub async fn run(
    hub: Arc<Hub>,
    state: Arc<State>,
    live: Arc<Live>,
    background: Arc<Background>,
    cancel: CancellationToken,
) {
    let _close = hub.closed.clone().drop_guard();
    let rhythm = Rhythm {
        name: "events",
        period: PAUSE,
        wakes: Vec::new(),
    };
    background
        .drive(
            rhythm,
            Following {
                hub,
                state,
                live,
                broken: false,
            },
            cancel,
        )
        .await;
}

/// One round is one watch of the store: it lasts until that breaks off.
struct Following {
    hub: Arc<Hub>,
    state: Arc<State>,
    live: Arc<Live>,
    /// A watch has broken off before.
    broken: bool,
}

impl Work for Following {
    async fn round(&mut self, _: Why, report: &mut Report) {
        if std::mem::replace(&mut self.broken, true) {
            self.hub.restart(self.state.read_at(|_, revision| revision));
        }
        let broken = follow(&self.hub, &self.state, &self.live).await;
        warn!(error = %chain(&broken), "the watch for events failed");
        report.failed("the watch for events failed", &broken);
    }
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the tables do not show a change after {} seconds", SHOWN_WITHIN.as_secs())]
    NotShown,
    #[error("the store ended it")]
    Ended,
    #[error("the store could not go on")]
    Store(#[from] WatchError),
}

/// Ends when the watch does.
async fn follow(hub: &Hub, state: &State, live: &Live) -> Broken {
    let start = hub.history().at();
    let mut batches = state.store().watch(key::ROOT, start);
    let mut shown = state.changed();
    let (mut told, mut told_sessions) = (HashMap::new(), HashMap::new());
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let batch = tokio::select! {
            biased;
            batch = batches.next() => batch,
            _ = tick.tick() => {
                progress(hub, live, &mut told);
                session_reports(hub, live, &mut told_sessions);
                continue;
            }
        };
        match batch {
            Some(Ok(batch)) => {
                // A listener that is notified of a change must see it when it reads the object.
                let shows = shown.wait_for(|at| *at >= batch.revision);
                if !matches!(tokio::time::timeout(SHOWN_WITHIN, shows).await, Ok(Ok(_))) {
                    return Broken::NotShown;
                }
                hub.tell(&batch);
            }
            Some(Err(error)) => return error.into(),
            None => return Broken::Ended,
        }
    }
}

/// Sends the progress since the last check.
fn progress(hub: &Hub, live: &Live, told: &mut HashMap<TaskId, TransferProgress>) {
    if hub.news.receiver_count() == 0 {
        told.clear();
        return;
    }
    let now = live.transfers();
    for (task, progress) in &now {
        if told.get(task) != Some(progress) {
            let _listeners = hub
                .news
                .send(News::Progress(Arc::new((*task, progress.clone()))));
        }
    }
    *told = now;
}

/// Sends the multicast sessions with reports since the last check.
fn session_reports(
    hub: &Hub,
    live: &Live,
    told: &mut HashMap<(SessionId, StorageNodeId), SessionReport>,
) {
    if hub.news.receiver_count() == 0 {
        told.clear();
        return;
    }
    let now = live.session_reports().all();
    for (key, report) in &now {
        if told.get(key) != Some(report) {
            let _listeners = hub
                .news
                .send(News::Session(Arc::new((*key, report.clone()))));
        }
    }
    *told = now;
}
